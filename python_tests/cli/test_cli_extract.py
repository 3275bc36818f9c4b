"""The files of `reid-ext extract` for every kind of network."""

import json

import numpy as np
import pytest
import torch
from cli_cases import typed
from trained import write_checkpoint

from reid_ext import FeatureSet, __version__, data
from reid_ext.training import checkpoint


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regdb") / "regdb"
    return data.synthesize("regdb", folder, identities=(3, 0, 3), images=(3, 1), workers=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The path of a checkpoint, and its model."""
    path = tmp_path_factory.mktemp("run") / "checkpoint.pt"
    return path, write_checkpoint(path, "per_modality")


@pytest.fixture
def run(capsys):
    return lambda *arguments: typed(capsys, *arguments)


def by_hand(model, samples, size=(96, 48)):
    """Features of one image at a time, computed by the model itself."""
    transform = data.EvaluationTransform(size=size)
    with torch.no_grad():
        return torch.cat(
            [
                model(transform(data.decode(s.path))[None], torch.tensor([s.modality])).features
                for s in samples
            ]
        )


def test_extract_writes_features_and_labels_of_the_images(run, trained, root, tmp_path):
    path, model = trained
    status, out, err = run("extract", path, "regdb", root, "--out", tmp_path, "--split", "trial=2")
    assert status == 0 and "576 features each" in out and "images/s" in out and "query: done" in err
    dataset = data.load("regdb", root, trial=2)
    for side in ("query", "gallery"):
        samples = getattr(dataset, side)
        with np.load(tmp_path / f"{side}.npz") as file:
            torch.testing.assert_close(torch.tensor(file["features"]), by_hand(model, samples))
            assert file["identities"].tolist() == [s.identity for s in samples]
            assert file["cameras"].tolist() == [s.camera for s in samples]
            assert file["views"].tolist() == [s.view for s in samples]
            assert file["paths"].tolist() == [str(s.path) for s in samples]
            assert file["modalities"].tolist() == [s.modality for s in samples]
        source = FeatureSet.load(tmp_path / f"{side}.npz").source
        assert source["model"] == str(path) and source["dataset"] == "regdb"
        assert source["split"] == {"trial": 2} and source["by"] == f"reid_ext {__version__}"
        preprocessing = source["preprocessing"]
        assert preprocessing["size"] == [96, 48] and preprocessing["flip"] is False
        assert preprocessing["mean"] == list(data.IMAGENET_MEAN)
    files = [tmp_path / "query.npz", tmp_path / "gallery.npz"]
    assert f"reid-ext evaluate {files[0]} {files[1]} --protocol regdb" in out.splitlines()
    status, out, _ = run("evaluate", *files, "--protocol", "generic", "--json")
    assert status == 0 and json.loads(out)["num_valid"] == len(dataset.query)
    assert {p.name for p in tmp_path.iterdir()} == {"query.npz", "gallery.npz"}


def test_extract_gives_equal_files_at_a_given_date(run, trained, root, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    for folder in ("a", "b"):
        assert run("extract", trained[0], "regdb", root, "--out", tmp_path / folder)[0] == 0
    first, again = ((tmp_path / folder / "query.npz").read_bytes() for folder in "ab")
    assert first == again
    source = FeatureSet.load(tmp_path / "a" / "query.npz").source
    assert source["created"] == "1970-01-02T00:00:00+00:00"


def test_extract_writes_image_numbers_for_sysu(run, trained, tmp_path):
    root = data.synthesize("sysu-mm01", tmp_path / "s", identities=(3, 0, 3), images=(3, 1))
    status, out, _ = run("extract", trained[0], "sysu-mm01", root, "--out", tmp_path)
    samples = data.load("sysu-mm01", root).gallery
    gallery = FeatureSet.load(tmp_path / "gallery.npz")
    assert status == 0 and gallery.columns["images"].tolist() == data.sysu.image_numbers(samples)
    status, out, _ = run(*out.splitlines()[-1].split()[1:], "--trials", 2, "--json")
    assert status == 0 and len(json.loads(out)["trials"]) == 2


def test_extract_writes_one_file_for_protocols_of_one_set(run, trained, root, tmp_path):
    folder = tmp_path / "vehicles"
    (folder / "image").mkdir(parents=True)
    (folder / "train_test_split").mkdir()
    images = [s.path for s in data.load("regdb", root).query[:6]]
    for number, path in enumerate(images):
        image = folder / "image" / f"{number}.jpg"
        image.write_bytes(path.read_bytes())
    for name in ("train_list", "test_list_800"):
        lines = "".join(f"{number} {number // 3}\n" for number in range(6))
        (folder / "train_test_split" / f"{name}.txt").write_text(lines)
    status, out, _ = run("extract", trained[0], "vehicleid", folder, "--out", tmp_path)
    command = out.splitlines()[-1]
    assert status == 0 and command == (
        f"reid-ext evaluate {tmp_path / 'query.npz'} --protocol vehicleid"
    )
    assert not (tmp_path / "gallery.npz").exists()
    status, out, _ = run(*command.split()[1:], "--json")
    assert status == 0 and json.loads(out)["trials"][0]["num_valid"] == 4


def test_extract_prints_files_and_throughput_as_json(run, trained, root, tmp_path):
    status, out, _ = run("extract", trained[0], "regdb", root, "--out", tmp_path, "--json")
    facts = json.loads(out)["files"][str(tmp_path / "query.npz")]
    assert status == 0 and facts["images"] == 9 and facts["feature_dim"] == 576
    assert facts["images_per_second"] > 0


def test_extract_flip_averages_with_the_mirror_image(run, trained, root, tmp_path):
    path, model = trained
    run("extract", path, "regdb", root, "--out", tmp_path, "--flip")
    sample = data.load("regdb", root).query[0]
    image = data.EvaluationTransform(size=(96, 48))(data.decode(sample.path))
    with torch.no_grad():
        both = model(torch.stack([image, image.flip(2)]), torch.zeros(2).long()).features
    got = np.load(tmp_path / "query.npz")["features"][0]
    torch.testing.assert_close(torch.tensor(got), both.mean(0))


def test_extract_size_replaces_the_size_of_the_checkpoint(run, trained, root, tmp_path):
    path, model = trained
    flags = ["--out", tmp_path, "--size", "48x24"]
    assert run("extract", path, "regdb", root, *flags)[0] == 0
    want = by_hand(model, data.load("regdb", root).query, (48, 24))
    with np.load(tmp_path / "query.npz") as file:
        torch.testing.assert_close(torch.tensor(file["features"]), want)


def test_extract_reads_timm_models(run, root, tmp_path):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    weights = tmp_path / "weights.pth"
    network = timm.create_model("resnet10t", pretrained=False)
    torch.save(network.state_dict(), weights)
    given = ["timm:resnet10t", "regdb", root, "--weights", weights, "--size", "64x32"]
    status, out, _ = run("extract", *given, "--out", tmp_path)
    assert status == 0 and "512 features each" in out


def test_interrupted_extract_leaves_no_old_gallery(run, trained, root, tmp_path, monkeypatch):
    for name in ("query.npz", "gallery.npz"):
        (tmp_path / name).write_bytes(b"of another network")
    written = []

    def full_disk_at_the_second(features, path):
        if written:
            raise OSError("disk full")
        written.append(path.name)

    monkeypatch.setattr(FeatureSet, "save", full_disk_at_the_second)
    status, _, err = run("extract", trained[0], "regdb", root, "--out", tmp_path)
    assert status == 1 and "disk full" in err
    assert written == ["query.npz"] and not (tmp_path / "gallery.npz").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"checkpoint": "missing.pt"}, "checkpoint: path must be a file"),
        ({"checkpoint": "resnet50"}, "CHECKPOINT must be a file, or timm:NAME, got resnet50"),
        ({"checkpoint": "missing.onnx"}, "source must be a file"),
        ({"checkpoint": "missing.safetensors"}, "source must be a file"),
        ({"name": "market1501"}, "market1501: root must hold the folders"),
    ],
)
def test_extract_returns_1_for_missing_data(change, message, run, trained, root, tmp_path):
    given = {"checkpoint": trained[0], "name": "regdb", "root": root, **change}
    status, _, err = run("extract", *given.values(), "--out", tmp_path / "new")
    assert status == 1 and message in err and not (tmp_path / "new").exists()


def test_extract_raises_for_a_checkpoint_with_code(run, root, tmp_path):
    class Bad:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"format": checkpoint.FORMAT, "model": Bad()}, tmp_path / "bad.pt")
    status, _, err = run("extract", tmp_path / "bad.pt", "regdb", root, "--out", tmp_path)
    assert status == 1 and "must be a complete checkpoint" in err
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--size", "96"], "--size must be HEIGHTxWIDTH"),
        (["--size", "0x48"], "--size must be HEIGHTxWIDTH"),
        (["--batch-size", "0"], "reid-ext extract: --batch-size must be an integer >= 1, got 0"),
        (["--workers", "-1"], "--workers must be an integer >= 0, got -1"),
        (["--split", "trial"], "--split must be KEY=VALUE"),
        (["--split", "fold=1"], "extract: the arguments of regdb must be among"),
        (["--device", "toaster"], "--device must be a device of this machine"),
        (["--weights", "none"], "--weights must be left out unless CHECKPOINT is timm:NAME"),
    ],
)
def test_extract_returns_2_for_invalid_flags(flags, message, run, trained, root, tmp_path):
    status, _, err = run("extract", trained[0], "regdb", root, "--out", tmp_path, *flags)
    assert status == 2 and message in err


def test_extract_names_out_when_it_is_a_file(run, trained, root, tmp_path):
    (tmp_path / "taken").write_text("")
    status, _, err = run("extract", trained[0], "regdb", root, "--out", tmp_path / "taken")
    assert status == 1 and "--out must be a path that can be written, got " in err


def test_extract_names_a_folder_given_as_checkpoint(run, root, tmp_path):
    status, _, err = run("extract", tmp_path, "regdb", root, "--out", tmp_path)
    assert status == 1 and "is a folder; give the checkpoint.pt in it" in err


def test_extract_prints_how_many_images_are_used(run, trained, root, tmp_path):
    status, out, _ = run("extract", trained[0], "regdb", root, "--out", tmp_path, "--json")
    seen = len(list(root.rglob("*.bmp")))
    assert status == 0 and json.loads(out)["dataset"] == {"seen": seen, "used": seen}
    status, out, _ = run("extract", trained[0], "regdb", root, "--out", tmp_path)
    assert out.startswith(f"files: {seen} images seen, {seen} used, none left out")
