"""Checkpoints: resumed runs are bit-identical, and damaged files raise errors."""

import os
import signal
from dataclasses import replace

import pytest
import torch

from reid_ext import data, models, training
from reid_ext.training.checkpoint import VERSION, read_checkpoint, write_atomically

RECIPE = replace(
    training.EMBEDDED,
    iterations=6,
    warmup=2,
    metric_ramp=(1, 3),
    save_every=3,
    identities_per_batch=2,
)
IDENTITIES = 4


class Noise:
    """Random images in memory: 4 identities, 2 visible and 2 infrared images each."""

    samples = tuple(
        data.Sample("", identity, 3 if modality else 1, None, modality)
        for identity in range(IDENTITIES)
        for modality in (0, 1, 0, 1)
    )

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, key):
        index, seed = key
        _, identity, camera, _, modality, _ = self.samples[index]
        chance = torch.Generator().manual_seed(seed % 2**62)
        return (
            torch.randn(3, 48, 24, generator=chance),
            identity,
            camera,
            modality,
            index % 3,
            index,
        )


class WithDropout(models.TwoStream):
    """A network that uses torch's random numbers, so that a resumed run needs their state."""

    def forward(self, images, modalities):
        return super().forward(torch.dropout(images, 0.1, self.training), modalities)


class StopAfter(data.Loader):
    """A loader that sends Ctrl-C after ``batches`` batches."""

    def __init__(self, inner, batches):
        self.inner = inner
        self.left = batches

    def __iter__(self):
        for batch in self.inner:
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGINT)
            self.left -= 1
            yield batch


class Run:
    """A new model, sampler (4 batches per epoch) and recipe, trained once."""

    def __init__(
        self,
        checkpoint,
        *,
        objective="expat",
        stop_after=None,
        recipe=RECIPE,
        seed=0,
        workers=0,
        resume=False,
        settings=None,
        precision="float32",
        **keywords,
    ):
        torch.manual_seed(keywords.pop("torch_seed", 0))
        self.model = WithDropout("small", keywords.pop("identities", IDENTITIES))
        sampler = data.TwoModalityBatches(Noise.samples, 2, 2, batches=4, seed=seed)
        loader = data.loader(Noise(), sampler, workers=workers)
        if stop_after is not None:
            loader = StopAfter(loader, stop_after)
        goal = training.build_objective(objective, recipe, self.model)
        self.outcome = training.train(
            self.model,
            loader,
            goal,
            recipe,
            sampler=sampler,
            execution=training.Execution(precision=precision),
            saving=training.Saving(checkpoint, resume, settings or {}),
        )


def content(path):
    return torch.load(path, weights_only=True)


def assert_same(a, b, place="checkpoint"):
    """Assert that two checkpoints are equal except for the time, tensors bit for bit."""
    assert type(a) is type(b), place
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), place
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), place
        for key in a.keys() - {"seconds"}:
            assert_same(a[key], b[key], f"{place}[{key!r}]")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), place
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{place}[{i}]")
    else:
        assert a == b, place


@pytest.fixture
def straight(tmp_path):
    """The checkpoint of an uninterrupted run of 6 iterations."""
    Run(tmp_path / "straight.pt")
    return tmp_path / "straight.pt"


# an epoch has 4 iterations
@pytest.mark.parametrize("after, workers", [(1, 0), (3, 0), (4, 0), (5, 0), (3, 1)])
def test_resumed_run_has_the_same_bits(after, workers, straight, tmp_path):
    path = tmp_path / "stopped.pt"
    with pytest.raises(
        KeyboardInterrupt, match=f"after iteration {after} of 6; resume from .*stopped.pt"
    ):
        Run(path, stop_after=after, workers=workers)
    assert content(path)["iteration"] == after
    resumed = Run(path, resume=True, torch_seed=1, workers=workers)
    assert resumed.outcome.iterations == 6 - after
    assert_same(content(path), content(straight))


def test_resume_counts_the_time_of_all_calls(tmp_path):
    path = tmp_path / "stopped.pt"
    with pytest.raises(KeyboardInterrupt):
        Run(path, stop_after=3)
    before = content(path)["seconds"]
    assert before > 0
    resumed = Run(path, resume=True).outcome
    assert resumed.seconds == pytest.approx(before + resumed.seconds_of_call, rel=0.05)
    assert content(path)["seconds"] <= resumed.seconds
    finished = Run(path, resume=True).outcome
    assert finished.seconds == content(path)["seconds"] and finished.seconds_of_call == 0


@pytest.mark.parametrize("objective", ["expat_center", "va"])
def test_resume_restores_the_parameters_of_a_loss(objective, tmp_path):
    Run(tmp_path / "straight.pt", objective=objective)
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path / "stopped.pt", objective=objective, stop_after=4)
    Run(tmp_path / "stopped.pt", objective=objective, resume=True, torch_seed=1)
    assert_same(content(tmp_path / "stopped.pt"), content(tmp_path / "straight.pt"))


def test_resume_of_a_finished_run_does_nothing(straight):
    before = straight.stat().st_mtime_ns
    assert Run(straight, resume=True).outcome.iterations == 0
    assert straight.stat().st_mtime_ns == before


def test_stop_before_first_iteration_keeps_the_checkpoint(straight):
    before = straight.read_bytes()
    with pytest.raises(KeyboardInterrupt, match=r"after iteration 0 of 6$"):
        Run(straight, stop_after=0)
    assert straight.read_bytes() == before


def test_save_leaves_no_other_file(straight):
    assert [p.name for p in straight.parent.iterdir()] == ["straight.pt"]


def test_failed_write_keeps_the_old_file(straight, monkeypatch):
    before = straight.read_bytes()

    def half(value, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        write_atomically({}, straight)
    assert straight.read_bytes() == before
    assert list(straight.parent.iterdir()) == [straight]


def test_load_model_loads_the_parameters(straight):
    model = models.TwoStream("small", IDENTITIES)
    settings = training.load_model(straight, model)
    assert settings["objective"] == "expat" and settings["name"] == "embedded"
    assert_same(dict(model.state_dict()), dict(content(straight)["model"]))


def test_load_model_raises_for_another_shape(straight):
    with pytest.raises(ValueError, match=r"parameters of this model.*classifier.weight"):
        training.load_model(straight, models.TwoStream("small", IDENTITIES + 1))


def test_resume_raises_for_a_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path must be a file, got .*none.pt"):
        Run(tmp_path / "none.pt", resume=True)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path):
    path.write_bytes(b"")


def damaged(path):
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size - 200)
        file.write(bytes(200))


def with_code(path):
    torch.save({"format": print}, path)


@pytest.mark.parametrize("spoil", [cut, emptied, damaged, with_code])
def test_resume_raises_for_a_damaged_checkpoint(spoil, straight):
    spoil(straight)
    with pytest.raises(ValueError, match=r"complete checkpoint, got .*straight.pt, .*train again"):
        Run(straight, resume=True)


def foreign(state):
    return {"state_dict": state["model"]}


def of_another_version(state):
    return {**state, "version": 99}


def lacking_a_part(state):
    return {k: v for k, v in state.items() if k != "optimizer"}


@pytest.mark.parametrize(
    "change, message",
    [
        (foreign, "checkpoint of reid_ext"),
        (of_another_version, f"version {VERSION}, got .* with version 99"),
        (lacking_a_part, "must hold optimizer"),
    ],
)
def test_read_checkpoint_raises_for_foreign_content(change, message, straight):
    torch.save(change(content(straight)), straight)
    with pytest.raises(ValueError, match=message):
        read_checkpoint(straight)


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"recipe": replace(RECIPE, learning_rate=0.1)}, r"learning_rate = 0.001 \(now 0.1\)"),
        ({"settings": {"dataset": "b"}}, r"dataset = None \(now 'b'\)"),
        ({"precision": "bfloat16"}, r"precision = 'float32' \(now 'bfloat16'\)"),
        ({"seed": 5}, "seed must be 0 as in the saved state, got 5"),
        ({"identities": 9}, "parameters of this model"),
    ],
)
def test_resume_raises_for_other_settings(keywords, message, straight):
    with pytest.raises(ValueError, match=message):
        Run(straight, resume=True, **keywords)
