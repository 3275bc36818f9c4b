"""SYSU-MM01: galleries and rankings against hand counts and a NumPy reference."""

import numpy as np
import pytest
import torch
from reference.ranking import same_pairs, scores, sysu_ranked_pairs

from reid_ext.evaluation import evaluate_sysu, select_galleries


def ranked(query, gallery, distances=None, **options):
    """Evaluate queries [(identity, camera)] on a gallery in the same form, nearest first.

    Features are on a line: queries at 0, and gallery images at 1, 2, 3, … or at ``distances``.
    """
    at = range(1, len(gallery) + 1) if distances is None else distances
    return evaluate_sysu(
        torch.zeros(len(query), 1, dtype=torch.float64),
        torch.tensor(list(at), dtype=torch.float64)[:, None],
        query_ids=[q[0] for q in query],
        gallery_ids=[g[0] for g in gallery],
        query_cameras=[q[1] for q in query],
        gallery_cameras=[g[1] for g in gallery],
        metric="euclidean",
        **{"trials": 1, "shots": 10, **options},
    )


# Nearest first. The query is identity 1 in camera 3, which shares its location with camera 2.
LINE = [(2, 2), (2, 4), (1, 2), (2, 4), (3, 1), (1, 5), (1, 2), (4, 1), (1, 1)]


def test_query_of_camera_3_ignores_camera_2():
    at_camera_3 = ranked([(1, 3)], LINE, cmc="per_image")  # matches at 4 and 6 of the 6 left
    assert at_camera_3.mAP == pytest.approx((1 / 4 + 2 / 6) / 2)
    assert at_camera_3.mINP == pytest.approx(2 / 6)
    at_camera_6 = ranked([(1, 6)], LINE, cmc="per_image")  # matches at 3, 6, 7 and 9
    assert at_camera_6.mAP == pytest.approx((1 / 3 + 2 / 6 + 3 / 7 + 4 / 9) / 4)
    assert at_camera_6.mINP == pytest.approx(4 / 9)


@pytest.mark.parametrize(
    "camera, cmc, rank",
    [
        (3, "official", 3),  # identities 2, 3, 1
        (3, "per_image", 4),
        (6, "official", 2),  # identities 2, 1
        (6, "per_image", 3),
    ],
)
def test_cmc_counts_identities_or_images_in_multi_shot(camera, cmc, rank):
    got = ranked([(1, camera)], LINE, cmc=cmc, max_rank=5).cmc
    assert got.tolist() == [float(k >= rank) for k in range(1, 6)]


@pytest.mark.parametrize("cmc, rank", [("official", 2), ("per_image", 4)])
def test_cmc_counts_identities_or_images_in_single_shot(cmc, rank):
    gallery = [(2, 1), (2, 4), (2, 5), (1, 1), (1, 4)]  # one image per identity and camera
    got = ranked([(1, 6)], gallery, cmc=cmc, shots=1)
    assert got.cmc[:5].tolist() == [float(k >= rank) for k in range(1, 6)]
    assert got.mAP == pytest.approx((1 / 4 + 2 / 5) / 2)


def test_indoor_mode_uses_cameras_1_and_2():
    got = ranked([(1, 6)], LINE, mode="indoor", cmc="per_image")  # rows 0, 2, 4, 6, 7, 8
    assert got.mAP == pytest.approx((1 / 2 + 2 / 4 + 3 / 6) / 3)


def test_query_without_match_is_skipped_in_every_metric():
    gallery = [(1, 2), (2, 1), (2, 2)]  # identity 1 is only in camera 2, which is junk for camera 3
    got = ranked([(1, 3), (2, 3), (1, 6)], gallery)
    assert got.num_valid == 2
    assert got.average_precision.isnan().tolist() == [True, False, False]
    assert got.cmc[0] == 1 and got.mAP == 1


def test_error_gives_the_reason_when_no_match_is_left():
    with pytest.raises(ValueError, match=r"got 1 pairs with the same identity, .* or location"):
        ranked([(1, 3)], [(1, 2), (2, 1)])
    with pytest.raises(ValueError, match=r"got 1 identities in 1 queries and 2 .* in common"):
        ranked([(3, 3)], [(1, 2), (2, 1)])


@pytest.mark.parametrize("cmc", ["official", "per_image"])
def test_ties_are_ordered_by_gallery_row(cmc):
    gallery = [(2, 1), (1, 1), (3, 1), (1, 4)]
    got = ranked([(1, 6)], gallery, distances=[7, 7, 7, 7], cmc=cmc)
    assert got.cmc[:2].tolist() == [0, 1] and got.mAP == pytest.approx((1 / 2 + 2 / 4) / 2)


@pytest.mark.parametrize("cmc", ["official", "per_image"])
def test_nan_ranks_last_ordered_by_gallery_row(cmc):
    nan = float("nan")
    gallery = [(2, 1), (1, 1), (3, 1), (4, 1)]  # ranks 2, 3, 4 and 1
    got = ranked([(1, 6)], gallery, distances=[nan, nan, nan, 1], cmc=cmc)
    assert got.cmc[:3].tolist() == [0, 0, 1] and got.mAP == pytest.approx(1 / 3)


def test_official_permutation_selects_numbered_images():
    ids, cameras = [5, 5, 5, 8, 5], [1, 1, 1, 1, 2]
    images = [3, 1, 2, 1, 7]  # rows 1, 2, 0 are images 1, 2, 3 of identity 5 in camera 1
    permutations = {
        (1, 5): np.array([[2, 3, 1], [3, 1, 2]]),
        (1, 8): np.array([[1], [1]]),
        (2, 5): np.array([[7], [7]]),
    }
    given = {"permutations": permutations, "gallery_images": images, "trials": 2}
    single = select_galleries(ids, cameras, shots=1, **given)
    assert [g.tolist() for g in single] == [[2, 3, 4], [0, 3, 4]]
    multi = select_galleries(ids, cameras, shots=10, **given)  # fewer than 10 images: all of them
    assert [g.tolist() for g in multi] == [[0, 1, 2, 3, 4]] * 2


def crowd(images=12, seed=0):
    """Identities, cameras and 1-based image numbers of a full gallery, in random order."""
    rng = np.random.default_rng(seed)
    rows = [(i, c, n + 1) for i in (3, 5, 9) for c in (1, 2, 4, 5) for n in range(images)]
    return np.array(rows)[rng.permutation(len(rows))].T


@pytest.mark.parametrize("mode, cameras", [("all", {1, 2, 4, 5}), ("indoor", {1, 2})])
@pytest.mark.parametrize("shots", [1, 10])
def test_seeded_draw_takes_shots_per_identity_and_camera(shots, mode, cameras):
    ids, cams, images = crowd()
    for rows in select_galleries(ids, cams, gallery_images=images, mode=mode, shots=shots):
        taken, counts = np.unique(np.stack([ids, cams])[:, rows], axis=1, return_counts=True)
        assert taken.shape[1] == 3 * len(cameras) and set(taken[1]) == cameras
        assert (counts == shots).all() and (np.diff(rows) > 0).all()


def test_seeded_draw_depends_on_seed_and_trial_only():
    ids, cams, images = crowd()
    drawn = select_galleries(ids, cams, gallery_images=images, seed=4, trials=3)
    again = select_galleries(ids, cams, gallery_images=images, seed=4, trials=2)
    other = select_galleries(ids, cams, gallery_images=images, seed=5, trials=3)
    assert all((a == b).all() for a, b in zip(drawn, again, strict=False))
    assert (drawn[0] != drawn[1]).any() and (drawn[0] != other[0]).any()


def test_seeded_draw_does_not_depend_on_row_order():
    drawn = []
    for seed in (0, 1):
        labels = crowd(seed=seed)
        (rows,) = select_galleries(*labels[:2], gallery_images=labels[2], trials=1)
        drawn.append(sorted(labels[:, rows].T.tolist()))
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("metric", ["euclidean", "squared_euclidean", "cosine"])
@pytest.mark.parametrize("cmc", ["official", "per_image"])
@pytest.mark.parametrize("mode", ["all", "indoor"])
@pytest.mark.parametrize("shots", [1, 10])
def test_evaluate_sysu_matches_reference(shots, mode, cmc, metric, device):
    rng = np.random.default_rng(0)
    gallery = np.stack([rng.integers(0, 25, 1500), rng.choice([1, 2, 4, 5], 1500)])
    query = np.stack([rng.integers(0, 27, 60), rng.choice([3, 6], 60)])
    q, g = (rng.choice([-1.0, 1.0], (labels.shape[1], 16)) for labels in (query, gallery))
    distances = ((q[:, None] - g[None]) ** 2).sum(-1)  # many ties; rows of length 4
    labels = {"gallery_ids": gallery[0], "gallery_cameras": gallery[1]}
    choice = {"mode": mode, "shots": shots, "trials": 3, "seed": 2}
    got = evaluate_sysu(
        torch.tensor(q, dtype=torch.float32, device=device),
        torch.tensor(g, dtype=torch.float32, device=device),
        query_ids=query[0],
        query_cameras=query[1],
        cmc=cmc,
        metric=metric,
        max_rank=20,
        **labels,
        **choice,
    )
    galleries = select_galleries(**labels, **choice)
    for trial, rows in zip(got.trials, galleries, strict=True):
        ids, cameras = gallery[:, rows]
        distinct = ids if cmc == "official" else None
        pairs = same_pairs(query[0], ids), sysu_ranked_pairs(query[1], cameras)
        want = scores(distances[:, rows], *pairs, max_rank=20, distinct_ids=distinct)
        np.testing.assert_allclose(trial.cmc, want.cmc)
        np.testing.assert_allclose(trial.average_precision, want.average_precision)
        np.testing.assert_allclose(trial.inverse_negative_penalty, want.inverse_negative_penalty)
    np.testing.assert_allclose(got.cmc, np.mean([t.cmc.numpy() for t in got.trials], axis=0))
    assert got.mAP == pytest.approx(np.mean([t.mAP for t in got.trials]))
    assert got.mINP == pytest.approx(np.mean([t.mINP for t in got.trials]))


def test_autocast_does_not_round_distances(device):
    query, gallery = torch.ones(1, 2, device=device), torch.ones(9, 2, device=device)
    gallery[:, 1] += torch.linspace(
        5e-2, 0, 9, device=device
    )  # these cosines are equal in bfloat16
    labels = {"query_ids": [1], "query_cameras": [6], "gallery_cameras": [1] * 9}
    with torch.autocast(device.type, torch.bfloat16):
        got = evaluate_sysu(query, gallery, gallery_ids=list(range(9, 0, -1)), **labels)
    assert got.rank(1) == 1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mode": "outdoor"}, "mode must be one of 'all', 'indoor', got 'outdoor'"),
        ({"shots": 5}, "shots must be one of 1, 10, got 5"),
        ({"trials": 0}, "trials must be an integer >= 1, got 0"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
        ({"cmc": "matlab"}, "cmc must be one of 'official', 'per_image', got 'matlab'"),
        ({"max_rank": 0}, "max_rank must be an integer >= 1, got 0"),
        ({"permutations": {}}, "gallery_images must be given with permutations"),
        ({"gallery_images": [1, 2]}, r"gallery_images must have shape \(9,\)"),
        (
            {"gallery_images": [1] * 9},
            "gallery_images must be unique .* got 1 twice in camera 2, id",
        ),
        (
            {"gallery_images": range(1, 10), "permutations": {}},
            r"permutations must contain one row .* got int64 \(0, 0\) for camera 1, identity 1",
        ),
        (
            {"gallery_images": range(1, 10), "permutations": {(1, 1): np.array([[4]])}},
            "permutations must contain image numbers .*for camera 1, identity 1.*, got number 4",
        ),
    ],
)
def test_evaluate_sysu_raises_for_invalid_arguments(options, message):
    with pytest.raises(ValueError, match=f"^evaluate_sysu: {message}"):
        ranked([(1, 6)], LINE, **options)


def test_evaluate_sysu_raises_for_cameras_of_other_modality():
    with pytest.raises(ValueError, match=r"query_cameras must be among \(3, 6\), got camera 1"):
        ranked([(1, 1)], LINE)
    with pytest.raises(ValueError, match=r"gallery_cameras must be among .*got camera 6 in 1 of 2"):
        ranked([(1, 6)], [(1, 1), (1, 6)])
    with pytest.raises(ValueError, match=r"gallery_cameras must contain one of the cameras \(1"):
        ranked([(1, 6)], [(1, 4)], mode="indoor")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_features_rank_by_float32_distances(dtype, device):
    torch.manual_seed(0)
    query, gallery = torch.randn(6, 9).to(device, dtype), torch.randn(12, 9).to(device, dtype)
    given = {"query_ids": [0, 1, 2] * 2, "gallery_ids": [0, 1, 2] * 4, "trials": 2}
    given |= {"query_cameras": [3] * 6, "gallery_cameras": [1] * 6 + [4] * 6}
    half = evaluate_sysu(query, gallery, **given)
    single = evaluate_sysu(query.float(), gallery.float(), **given)
    assert half.mAP == single.mAP and torch.equal(half.cmc, single.cmc)


def test_precision_at_k_is_the_mean_over_trials():
    ranking = ranked([(1, 6), (2, 6)], LINE, trials=3, shots=1, seed=5)
    of_each = [trial.mAP_at(1) for trial in ranking.trials]
    assert ranking.mAP_at(1) == pytest.approx(sum(of_each) / 3)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_copies_tie_by_gallery_row_for_one_query(metric):
    for size in range(2, 40):
        gallery = torch.randn(1, 16).repeat(size, 1)
        ranking = evaluate_sysu(
            torch.randn(1, 16), gallery,
            query_ids=[0], gallery_ids=range(size), query_cameras=[6], gallery_cameras=[1] * size,
            metric=metric, trials=1,
        )  # fmt: skip
        assert ranking.rank(1) == 1  # the match is in row 0
