"""A complete run from Python on a tiny dataset: metrics, files and schedule."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch

from reid_ext import data, models
from reid_ext._runtime.arguments import ArgumentError
from reid_ext.training import RunOptions, command_line, run
from reid_ext.training.job import jobs
from reid_ext.training.resources import with_defaults

TINY = {"identities": (6, 0, 4), "images": (3, 1), "workers": 1}
SHORT = {
    "backbone": "small",
    "batch": (3, 2),
    "workers": 0,
    "device": "cpu",
    "precision": "float32",
    "settings": {"iterations": 2, "size": (48, 24)},
}


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return data.synthesize("market1501", tmp_path_factory.mktemp("market") / "set", **TINY)


def recipe_of(market, **options):
    options = RunOptions(dataset="market1501", data=market, batch=(3, 2), **options)
    (job,) = jobs(with_defaults(options))
    return job.recipe, len(job.batches)


def test_run_builds_the_backbone_for_its_image_size(market, tmp_path, monkeypatch):
    build, sizes = models.build_backbone, []

    def recorded(name, weights=None, *, size=None):
        sizes.append(size)
        return build(name, weights, size=size)

    monkeypatch.setattr(models, "build_backbone", recorded)
    run(RunOptions(dataset="market1501", data=market, out=tmp_path / "o", loss="softmax", **SHORT))
    assert sizes == [(48, 24)]


def test_run_returns_the_metrics_that_it_writes(market, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["notebook", "--not-a-flag"])
    threads = torch.get_num_threads()
    out = tmp_path / "out"
    options = RunOptions(dataset="market1501", data=market, out=out, loss="triplet", **SHORT)
    metrics = run(options)
    assert torch.get_num_threads() == threads
    assert metrics == json.loads((out / "metrics.json").read_text())
    assert metrics["dataset"] == "market1501" and metrics["loss"] == "triplet"
    assert metrics["training"]["iterations"] == 2 and 0 <= metrics["mAP"] <= 1
    assert metrics["settings"]["size"] == [48, 24] and metrics["settings"]["data"] == str(market)
    assert {"checkpoint.pt", "config.toml", "cmc.png", "ranked_list.png"} <= set(os.listdir(out))
    assert "train: done, 2/2 iterations" in capsys.readouterr().err

    arguments = ["--config", str(out / "config.toml"), "--out", str(tmp_path / "again")]
    again = run(command_line.parse("A script.", "market1501", arguments))
    assert again["results"] == metrics["results"]
    assert again["training"]["losses"] == metrics["training"]["losses"]


def test_run_keeps_an_earlier_run_unless_told_otherwise(market, tmp_path):
    def train(loss, **more):
        return run(
            RunOptions(dataset="market1501", data=market, out=tmp_path, loss=loss, **SHORT, **more)
        )

    train("softmax")
    files = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for more in ({}, {"resume": True}):  # the checkpoint of another loss cannot be resumed
        with pytest.raises(
            ValueError, match=r"must be (a folder without an earlier run|of a run with)"
        ):
            train("triplet", **more)
        assert files == {p: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    (tmp_path / "best.pt").touch()
    (tmp_path / "notes.txt").touch()
    assert train("triplet", overwrite=True)["loss"] == "triplet"
    assert json.loads((tmp_path / "metrics.json").read_text())["loss"] == "triplet"
    assert not (tmp_path / "best.pt").exists() and (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("left", ["metrics.json", "checkpoint.pt", "trial-2/checkpoint.pt"])
def test_run_refuses_a_folder_with_any_part_of_a_run(left, market, tmp_path):
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).touch()
    with pytest.raises(ArgumentError, match=f"with {Path(left).name}; add --overwrite to replace"):
        run(RunOptions(dataset="market1501", data=market, out=tmp_path, **SHORT))


def test_run_leaves_junk_out_of_the_training_set(tmp_path, capsys):
    for split in ("train", "query", "gallery"):
        for identity in ("-1", "0007", "0009"):
            for number in range(2):
                path = tmp_path / split / identity / f"{split}-{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    options = RunOptions(dataset="folders", data=tmp_path, batch=(2, 2))
    (job,) = jobs(with_defaults(options))
    assert job.labels == {7: 0, 9: 1} and len(job.dataset.train) == 4
    assert "left out: junk (-1) and distractors (0) in train (2)" in capsys.readouterr().out


def test_run_raises_for_missing_data():
    with pytest.raises(
        ArgumentError, match=r"run: data must be the folder of LLCM, got .*; the package has no"
    ):
        run(RunOptions(dataset="llcm", **SHORT))


def test_run_raises_for_an_invalid_output_folder(market, tmp_path):
    (tmp_path / "file").touch()
    options = {**SHORT, "out": tmp_path / "file" / "out"}
    with pytest.raises(ArgumentError, match="run: out must be a writable folder, got"):
        run(RunOptions(dataset="market1501", data=market, **options))


def test_epochs_scale_the_schedule(market, capsys):
    recipe, epoch = recipe_of(market, epochs=12)  # the recipe has 120
    assert recipe.iterations == 12 * epoch
    assert recipe.milestones == (4 * epoch, 7 * epoch) and recipe.warmup == epoch
    assert f"Schedule: {12 * epoch} iterations; warm-up {epoch}; " in capsys.readouterr().out


def test_explicit_iterations_scale_the_other_settings(market):
    recipe, _ = recipe_of(market, settings={"iterations": 240, "milestones": (3, 7)})
    assert (recipe.iterations, recipe.milestones, recipe.warmup) == (240, (3, 7), 20)
    recipe, _ = recipe_of(market, settings={"iterations": 10})
    assert (recipe.warmup, recipe.milestones) == (1, (3, 6))


@pytest.mark.parametrize(
    "changes, name, message",
    [
        ({"warmup": 163}, "warmup", "end within the 10 iterations of the run, got 163; set"),
        ({"milestones": (3, 11)}, "milestones", r"end within the 10 .*, got \(3, 11\)"),
        ({"metric_ramp": (0, 60)}, "metric_ramp", "end within the 10 iterations"),
        ({"save_every": 11}, "save_every", "end within the 10 iterations"),
        (
            {"schedule": "cosine", "milestones": (3,)},
            "milestones",
            "the schedule is cosine",
        ),
        ({"milestones": (), "decay": 0.5}, "decay", "because there are no milestones"),
        ({"warmup": 0, "warmup_start": 0.5}, "warmup_start", "because warmup is 0"),
        ({"triplet_margin": 0.5}, "triplet_margin", "for the loss expat, .*: triplet, bnneck$"),
        ({"view_gamma": 0.5}, "view_gamma", "for the loss expat, .*: va, va_local$"),
        ({"expat_weight_with_center": 2.0}, "expat_weight_with_center", ".*: expat_center$"),
    ],
)
def test_settings_without_effect_are_refused(changes, name, message, market):
    with pytest.raises(ArgumentError, match=f"run: settings.{name} must.*{message}"):
        recipe_of(market, settings={"iterations": 10, **changes})


def test_loss_and_network_settings_must_agree(market):
    with pytest.raises(ArgumentError, match="neck must be 'none' for the loss triplet"):
        recipe_of(market, loss="triplet", settings={"neck": "shared"})
    with pytest.raises(ArgumentError, match="stripes must be 3 for the loss va_local"):
        recipe_of(market, loss="va_local", settings={"stripes": 6})
    assert recipe_of(market, loss="softmax", settings={"neck": "none"})[0].neck == "none"


def test_validation_interval_must_fit_the_run(market):
    assert recipe_of(market, epochs=3, validate_every=3)[0].iterations > 0
    with pytest.raises(ArgumentError, match="run: validate_every must be at most 3, the number of"):
        recipe_of(market, epochs=3, validate_every=4)


def test_synthetic_recipe_scales_its_ramp(tmp_path, monkeypatch):
    monkeypatch.setenv("REID_EXT_CACHE", str(tmp_path))
    options = RunOptions(dataset="sysu-mm01", quick=True, settings={"iterations": 120})
    (job,) = jobs(with_defaults(options))
    assert job.recipe.metric_ramp == (6, 20) and job.recipe.warmup == 3
    (quick,) = jobs(with_defaults(RunOptions(dataset="sysu-mm01", quick=True)))
    assert (quick.recipe.iterations, quick.recipe.metric_ramp) == (30, (60, 200))
