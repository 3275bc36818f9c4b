"""LLCM and VehicleID: reading them, and protocols that draw a gallery in each trial."""

import random

import pytest
import torch

from reid_ext import data
from reid_ext.evaluation import evaluate_llcm, evaluate_sampled_gallery

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


def test_llcm_is_read(llcm):
    dataset = data.load("llcm", llcm)
    assert [(s.identity, s.camera, s.modality) for s in dataset.train] == [
        *((0, 1, 0), (0, 3, 0)), *((0, 1, 1), (0, 3, 1))
    ]  # fmt: skip
    assert [(s.identity, s.camera, s.path.name) for s in dataset.query] == [
        *((5, 1, "a.jpg"), (5, 1, "b.JPG"), (5, 2, "a.jpg"), (5, 2, "b.JPG")),
        *((9, 1, "a.jpg"), (9, 1, "b.JPG")),
    ]
    assert len(dataset.gallery) == 8 and {s.modality for s in dataset.gallery} == {data.VISIBLE}


def test_galleries_are_drawn_as_the_released_code_does(llcm):
    gallery = data.load("llcm", llcm).gallery
    for trial in range(10):
        random.seed(trial)
        expected = [random.choice(["a.jpg", "b.JPG"]) for _ in range(4)]
        rows = data.llcm.gallery_rows(gallery, trial)
        assert [gallery[row].path.name for row in rows] == expected
        assert [(gallery[r].identity, gallery[r].camera) for r in rows] == [
            *((5, 1), (5, 2)), *((9, 1), (9, 2))
        ]  # fmt: skip


@pytest.mark.parametrize(
    "file, content, message",
    [
        ("idx/test_id.txt", "five", r"test_id\.txt must have identities .*, got 'five'"),
        ("idx/test_id.txt", "", "got an empty file"),
        ("idx/test_id.txt", "77", "must have images of the 1 identities"),
        ("idx/train_nir.txt", "nir/0001/a.jpg 0", r"train_nir\.txt must be named like"),
        ("idx/train_vis.txt", "vis/0001/0001_c10_s1_f1_vis.jpg 0", "the camera from 1 to 9, got"),
    ],
)
def test_broken_llcm_is_named(file, content, message, llcm):
    (llcm / file).write_text(content)
    with pytest.raises(ValueError, match=f"llcm: .*{message}"):
        data.load("llcm", llcm)


def test_missing_files_of_llcm_are_named(llcm):
    (llcm / "idx" / "test_id.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"must hold test_id\.txt, got none"):
        data.load("llcm", llcm)
    (llcm / "test_vis").rename(llcm / "test_VIS")
    with pytest.raises(FileNotFoundError, match="without test_vis"):
        data.load("llcm", llcm)


def llcm_reference(distances, q_ids, g_ids, q_cameras, g_cameras):
    """Rank of the first match among identities, and average precision, query by query."""
    ranks, precisions = [], []
    for row, (identity, camera) in enumerate(zip(q_ids, q_cameras, strict=True)):
        order = sorted(range(len(g_ids)), key=lambda g: float(distances[row, g]))
        kept = [g for g in order if (g_ids[g], g_cameras[g]) != (identity, camera)]
        hits = [place for place, g in enumerate(kept, start=1) if g_ids[g] == identity]
        if hits:
            seen = list(dict.fromkeys(g_ids[g] for g in kept))
            ranks.append(seen.index(identity) + 1)
            precisions.append(sum(k / h for k, h in enumerate(hits, start=1)) / len(hits))
    return ranks, precisions


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_llcm_protocol_matches_reference(metric):
    generator = torch.Generator().manual_seed(1)
    ids, cameras = torch.arange(60) % 6, torch.arange(60) % 9 + 1
    q_ids, q_cameras = torch.arange(25) % 7, torch.arange(25) % 9 + 1  # identity 6: no match
    query, gallery = (torch.randn(n, 8, generator=generator).double() for n in (25, 60))
    galleries = [torch.randperm(60, generator=generator)[:20].tolist() for _ in range(3)]
    ranking = evaluate_llcm(
        *(query, gallery),
        query_ids=q_ids, gallery_ids=ids, query_cameras=q_cameras, gallery_cameras=cameras,
        galleries=galleries, metric=metric,
    )  # fmt: skip
    firsts, means = [], []
    for rows in galleries:
        chosen = gallery[rows]
        if metric == "cosine":
            distances = -torch.nn.functional.cosine_similarity(query[:, None], chosen, dim=2)
        else:
            distances = (query[:, None] - chosen).norm(dim=2)
        labels = (q_ids.tolist(), ids[rows].tolist(), q_cameras.tolist(), cameras[rows].tolist())
        ranks, precisions = llcm_reference(distances, *labels)
        firsts.append(sum(rank <= 2 for rank in ranks) / len(ranks))
        means.append(sum(precisions) / len(precisions))
    assert ranking.rank(2) == pytest.approx(sum(firsts) / 3)
    assert ranking.mAP == pytest.approx(sum(means) / 3)
    assert ranking.protocol.startswith("mean of 3 trials: llcm: CMC of identities; junk same")


@pytest.fixture
def vehicleid(tmp_path):
    (tmp_path / "image").mkdir()
    (tmp_path / "train_test_split").mkdir()
    lists = {"train_list": "0000001 14\n0000002 14\n0000007 3\n", "test_list_800": "0042404 5\n"}
    for name, lines in lists.items():
        (tmp_path / "train_test_split" / f"{name}.txt").write_text(lines)
    return tmp_path


def test_vehicleid_is_read(vehicleid):
    dataset = data.load("vehicleid", vehicleid)
    assert [(s.path.name, s.identity, s.camera) for s in dataset.train] == [
        *(("0000001.jpg", 14, 0), ("0000002.jpg", 14, 0), ("0000007.jpg", 3, 0))
    ]
    assert dataset.query == dataset.gallery
    assert dataset.query[0].path == vehicleid / "image" / "0042404.jpg"
    with pytest.raises(FileNotFoundError, match=r"must hold the list test_list_2400\.txt"):
        data.load("vehicleid", vehicleid, size=2400)
    with pytest.raises(ValueError, match=r"size must be one of 800, 1600, .*, got 801"):
        data.load("vehicleid", vehicleid, size=801)


def test_sampled_gallery_has_one_image_of_each_and_all_others_query():
    ids = torch.tensor([4, 4, 4, 7, 7, 9])
    ranking = evaluate_sampled_gallery(torch.eye(10)[ids], ids=ids, trials=4)
    assert ranking.rank(1) == ranking.mAP == 1 and len(ranking.trials) == 4
    assert ranking.num_valid == 4 * 3  # 9 has one image, which is in the gallery
    assert "3 queries x 3 gallery images" in ranking.protocol


def test_sampled_gallery_is_the_mean_over_draws():
    ids = torch.tensor([0, 0, 1, 1])
    features = torch.tensor([[0.0], [1.0], [1.1], [5.0]])
    # Queries and gallery of the four draws; the nearer gallery image decides.
    hits = []
    for a in (0, 1):
        for b in (2, 3):
            gallery = {0: features[a], 1: features[b]}
            for query, identity in ((1 - a, 0), (5 - b, 1)):
                nearest = min(gallery, key=lambda i: float((features[query] - gallery[i]).abs()))
                hits.append(nearest == identity)
    ranking = evaluate_sampled_gallery(features, ids=ids, trials=400, metric="euclidean")
    assert ranking.rank(1) == pytest.approx(sum(hits) / len(hits), abs=0.05)
    again = evaluate_sampled_gallery(features, ids=ids, trials=400, metric="euclidean")
    assert again.rank(1) == ranking.rank(1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"ids": [0, 1, 2]}, "ids must have an identity of two images, got 3 of one"),
        ({"ids": [0, 0]}, r"ids must have shape \(3,\)"),
        ({"ids": [0, 0, 1], "trials": 0}, "trials must be an integer >= 1"),
        ({"ids": [0, 0, 1], "seed": -1}, "seed must be an integer >= 0"),
    ],
)
def test_sampled_gallery_names_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=f"evaluate_sampled_gallery: {message}"):
        evaluate_sampled_gallery(torch.eye(3), **arguments)


def test_llcm_protocol_needs_a_trial():
    labels = {f"{side}_{what}": [1] for side in ("query", "gallery") for what in ("ids", "cameras")}
    with pytest.raises(ValueError, match="galleries must hold the rows of a trial at least"):
        evaluate_llcm(torch.ones(1, 2), torch.ones(1, 2), **labels, galleries=[])


def test_both_are_checked(llcm, vehicleid):
    report = data.check("llcm", llcm, images=False)
    kinds = {f.kind for f in report.findings if f.level == "error"}
    assert kinds == {"count", "camera", "image"}
    report = data.check("vehicleid", vehicleid)
    messages = [f.message for f in report.findings]
    assert "train must have 13,164 identities, got 2" in messages
    assert any("4 images missing" in message for message in messages)
