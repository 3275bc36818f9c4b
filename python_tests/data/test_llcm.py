"""The LLCM reader: lists, folders, and the galleries of the trials."""

import random

import pytest
import torch
from cli_cases import typed

from reid_ext import FeatureSet, data, evaluation

TRAIN = "0001_c{camera:02d}_s185535_f7010_{kind}.jpg"


@pytest.fixture
def llcm(tmp_path):
    """Test identities 5 and 9 in cameras 1 and 2, visible and infrared; 9 not in infrared 2."""
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx" / "test_id.txt").write_text("9,5\n")
    for kind in ("vis", "nir"):
        lines = [f"{kind}/0001/{TRAIN.format(camera=c, kind=kind)} 0" for c in (1, 3)]
        (tmp_path / "idx" / f"train_{kind}.txt").write_text("\n".join(lines) + "\n")
        for identity in (5, 9):
            for camera in (1, 2):
                folder = tmp_path / f"test_{kind}" / f"cam{camera}" / f"{identity:04d}"
                folder.mkdir(parents=True)
                for name in ("b.JPG", "a.jpg", "Thumbs.db", "._a.jpg"):
                    (folder / name).touch()
    for path in (tmp_path / "test_nir" / "cam2" / "0009").iterdir():
        path.unlink()
    (tmp_path / "test_nir" / "cam2" / "0009").rmdir()
    return tmp_path


def test_llcm_reader_loads_all_splits(llcm):
    dataset = data.load("llcm", llcm)
    assert [(s.identity, s.camera, s.modality) for s in dataset.train] == [
        *((0, 1, 0), (0, 3, 0)), *((0, 1, 1), (0, 3, 1))
    ]  # fmt: skip
    assert [(s.identity, s.camera, s.path.name) for s in dataset.query] == [
        *((5, 1, "a.jpg"), (5, 1, "b.JPG"), (5, 2, "a.jpg"), (5, 2, "b.JPG")),
        *((9, 1, "a.jpg"), (9, 1, "b.JPG")),
    ]
    assert len(dataset.gallery) == 8 and {s.modality for s in dataset.gallery} == {data.VISIBLE}


def test_llcm_galleries_match_released_code(llcm):
    dataset = data.load("llcm", llcm)
    query, gallery = dataset.query, dataset.gallery
    sets = [FeatureSet(torch.ones(len(s), 1), **data.columns(s)) for s in (query, gallery)]
    drawn = evaluation.trials(*sets, protocol="llcm")
    assert len(drawn) == 10
    for trial, (_, rows) in enumerate(drawn):
        random.seed(trial)
        expected = [random.choice(["a.jpg", "b.JPG"]) for _ in range(4)]
        assert [gallery[row].path.name for row in rows] == expected
        assert [(gallery[r].identity, gallery[r].camera) for r in rows] == [
            *((5, 1), (5, 2)), *((9, 1), (9, 2))
        ]  # fmt: skip


@pytest.mark.parametrize(
    "file, content, message",
    [
        ("idx/test_id.txt", "five", r"test_id\.txt must hold identities .*, got 'five'"),
        ("idx/test_id.txt", "", "got an empty file"),
        ("idx/test_id.txt", "77", "must hold images of the 1 identities"),
        ("idx/train_nir.txt", "nir/0001/a.jpg 0", r"train_nir\.txt must be named like"),
        (
            "idx/train_vis.txt",
            "vis/0001/0001_c10_s1_f1_vis.jpg 0",
            "with a camera from 1 to 9, got",
        ),
    ],
)
def test_llcm_reader_raises_for_broken_lists(file, content, message, llcm):
    (llcm / file).write_text(content)
    with pytest.raises(ValueError, match=f"llcm: .*{message}"):
        data.load("llcm", llcm)


def test_llcm_reader_raises_for_missing_files(llcm):
    (llcm / "idx" / "test_id.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"must hold test_id\.txt, got a folder without it"):
        data.load("llcm", llcm)
    (llcm / "test_vis").rename(llcm / "test_VIS")
    with pytest.raises(FileNotFoundError, match="without test_vis"):
        data.load("llcm", llcm)


def test_check_reports_counts_and_cameras_of_llcm(llcm):
    report = data.check("llcm", llcm, images=False, official=True)
    kinds = {f.kind for f in report.findings if f.level == "error"}
    assert kinds == {"count", "camera", "image"}


@pytest.fixture
def trained(llcm):
    """Two visible images and an infrared one of 13 identities to train on."""
    for kind, cameras in (("vis", (1, 3)), ("nir", (1,))):
        lines = [
            f"{kind}/{i:04d}/{TRAIN.format(camera=c, kind=kind)} {i}"
            for i in range(13)
            for c in cameras
        ]
        (llcm / "idx" / f"train_{kind}.txt").write_text("\n".join(lines))
    return llcm


def test_llcm_validation_queries_are_infrared(trained):
    dataset = data.load("llcm", trained, evaluate_on="val")
    assert {s.identity for s in dataset.train} == set(range(11))
    facts = [[(s.identity, s.camera, s.modality) for s in side] for side in dataset[2:]]
    assert facts == [
        [(11, 1, data.INFRARED), (12, 1, data.INFRARED)],
        [(i, c, data.VISIBLE) for i in (11, 12) for c in (1, 3)],
    ]


@pytest.mark.parametrize(
    "split, counts", [("test", [(6, 4, 6), (8, 3, 6)]), ("val", [(2, 4, 2), (4, 2, 2)])]
)
def test_check_prints_the_evaluation_of_llcm(split, counts, trained, capsys):
    flags = ("--fast", "--split", f"evaluate_on={split}")
    _, out, _ = typed(capsys, "data", "check", "llcm", trained, *flags)
    plan = [line for line in out.splitlines() if line.startswith("evaluation: ")]
    assert plan == [
        f"evaluation: llcm, {name}: {queries} queries x {gallery} gallery images in each trial; "
        f"{valid} queries have a match; junk: same identity and camera"
        for name, (queries, gallery, valid) in zip(
            ("infrared to visible", "visible to infrared"), counts, strict=True
        )
    ]
