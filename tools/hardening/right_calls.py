"""One valid call of every public callable, which `wrong_calls` makes invalid."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reid_ext import compat, data, evaluation, losses, ops, viz
from reid_ext.compat import fastreid, torchreid

Call = tuple[Callable[..., Any], dict[str, Any]]

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
NONE = ops.Lists(torch.zeros(7, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
SELF = ops.Lists(torch.arange(7), torch.arange(6))
PAIRS = {"query": torch.arange(6), "gallery": torch.arange(6)}
IDS = {"query_ids": LABELS, "gallery_ids": LABELS}
CAMERAS = {"query_cameras": torch.zeros(6).long(), "gallery_cameras": torch.ones(6).long()}
SYSU = {"query_cameras": torch.full((6,), 3), "gallery_cameras": torch.ones(6).long()}
THEIRS = {"distmat": np.eye(6), "q_pids": LABELS.numpy(), "g_pids": LABELS.numpy()}
THEIRS |= {"q_camids": np.zeros(6, int), "g_camids": np.ones(6, int)}

CLASSES: dict[str, Call] = {
    "losses.ExpATLoss": (losses.ExpATLoss, {}),
    "losses.FIDILoss": (losses.FIDILoss, {}),
    "losses.TripletLoss": (losses.TripletLoss, {}),
    "losses.CenterLoss": (losses.CenterLoss, {"num_identities": 3, "feature_dim": 4}),
    "losses.CircleLoss": (losses.CircleLoss, {}),
    "losses.ContrastiveLoss": (losses.ContrastiveLoss, {}),
    "losses.MultiSimilarityLoss": (losses.MultiSimilarityLoss, {}),
    "losses.AdaptiveLabelSmoothingLoss": (losses.AdaptiveLabelSmoothingLoss, {}),
    "losses.ViewpointAwareLoss": (
        losses.ViewpointAwareLoss,
        {"num_identities": 3, "feature_dim": 4},
    ),
}


def _of_ops() -> dict[str, Call]:
    pairs = {"query": X, "gallery": X}
    return {
        "ops.cosine_matrix": (ops.cosine_matrix, {"x": X, "y": X}),
        "ops.mine_hardest": (ops.mine_hardest, {"x": X, "labels": LABELS}),
        "ops.expat_loss": (ops.expat_loss, {"x": X, "labels": LABELS}),
        "ops.expat_triplet_loss": (
            ops.expat_triplet_loss,
            {"anchor": X, "positive": X, "negative": X},
        ),
        "ops.fidi_loss": (ops.fidi_loss, {"x": X, "labels": LABELS}),
        "ops.adaptive_label_smoothing_loss": (
            ops.adaptive_label_smoothing_loss,
            {"logits": X, "labels": LABELS},
        ),
        "ops.viewpoint_loss": (
            ops.viewpoint_loss,
            {"logits": X[:, :3], "labels": LABELS * 0, "views": LABELS},
        ),
        "ops.k_reciprocal": (ops.k_reciprocal, pairs | {"k1": 3, "k2": 2}),
        "ops.k_reciprocal_nearest": (
            ops.k_reciprocal_nearest,
            pairs | {"k1": 3, "k2": 2, "count": 2},
        ),
        "ops.jaccard": (ops.jaccard, {"x": X, "k1": 3, "k2": 2}),
        "ops.nearest": (ops.nearest, {"x": X, "count": 2}),
        "ops.rank_positives": (
            ops.rank_positives,
            pairs | {"positives": SELF, "junk": NONE},
        ),
    }


def _of_evaluation() -> dict[str, Call]:
    features = {"query": X, "gallery": X}
    labels = IDS | CAMERAS
    distances = {"distances": torch.cdist(X, X)}
    ranking = evaluation.evaluate(**features, **labels)
    return {
        "evaluation.evaluate": (evaluation.evaluate, features | labels),
        "evaluation.evaluate_distances": (evaluation.evaluate_distances, distances | labels),
        "evaluation.evaluate_single_shot": (evaluation.evaluate_single_shot, distances | labels),
        "evaluation.evaluate_sysu": (evaluation.evaluate_sysu, features | IDS | SYSU),
        "evaluation.evaluate_regdb": (evaluation.evaluate_regdb, features | IDS),
        "evaluation.evaluate_sampled_gallery": (
            evaluation.evaluate_sampled_gallery,
            {"features": X, "ids": LABELS},
        ),
        "evaluation.verify": (evaluation.verify, features | labels),
        "evaluation.bootstrap": (evaluation.bootstrap, {"ranking": ranking, "resamples": 3}),
        "evaluation.rerank": (evaluation.rerank, features | {"k1": 3, "k2": 2}),
        "evaluation.search": (evaluation.search, features | {"k": 2}),
        "evaluation.jaccard_distance": (
            evaluation.jaccard_distance,
            {"features": X, "k1": 3, "k2": 2},
        ),
        "evaluation.pool_queries": (
            evaluation.pool_queries,
            {"query": X, "query_ids": LABELS, "query_cameras": LABELS},
        ),
        "evaluation.mean_of_trials": (evaluation.mean_of_trials, {"trials": [ranking]}),
        "compat.torchreid.evaluate_rank": (torchreid.evaluate_rank, THEIRS),
        "compat.fastreid.evaluate_rank": (fastreid.evaluate_rank, THEIRS),
        "compat.re_ranking": (
            compat.re_ranking,
            {"q_g_dist": np.eye(6), "q_q_dist": np.eye(6), "g_g_dist": np.eye(6), "k1": 3},
        ),
    }


def _of_data(folder: Path) -> dict[str, Call]:
    small = {"identities": (3, 0, 3), "images": (2, 1)}
    root = data.synthesize("market1501", folder / "set", **small)
    path = data.load("market1501", root).train[0].path
    labels = folder / "v.csv"
    labels.write_text("path,view\na.jpg,0\n")
    picture = np.zeros((8, 8, 3), np.uint8)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    return {
        "data.load": (data.load, {"name": "market1501", "root": root}),
        "data.synthesize": (
            data.synthesize,
            {"name": "market1501", "root": root, **small},
        ),
        "data.decode": (data.decode, {"path": path}),
        "data.read_view_labels": (data.read_view_labels, {"path": labels}),
        "viz.save_image": (viz.save_image, {"path": out / "a.png", "image": picture}),
        "viz.plot_cmc": (
            viz.plot_cmc,
            {"curves": {"a": np.ones(5)}, "path": out / "c.png", "title": "t"},
        ),
    }


def right_calls(folder: Path) -> dict[str, Call]:
    """The callables with their arguments, by name."""
    return CLASSES | _of_ops() | _of_evaluation() | _of_data(folder)


_NO = "/no/such/file.npz"
COMMANDS = [
    [],
    ["--json"],
    ["no-such-command"],
    ["doctor", "now"],
    ["data"],
    ["data", "check"],
    ["data", "check", "no-such-dataset", "."],
    ["data", "check", "market1501", "/no/such/place"],
    ["data", "check", "market1501", "\ud800"],
    ["data", "check", "market1501", "."],
    ["data", "check", "regdb", ".", "--split", "trial"],
    ["data", "check", "regdb", ".", "--split", "trial=99"],
    ["data", "check", "regdb", ".", "--split", "=1"],
    ["data", "check", "regdb", ".", "--split", "colour=red"],
    ["data", "check", "folders", ".", "--split", "camera=("],
    ["data", "synthesize", "market1501"],
    ["data", "synthesize", "market1501", "/dev/null"],
    ["data", "synthesize", "market1501", "/dev/null/x"],
    ["data", "synthesize", "market1501", "/proc/x"],
    ["data", "synthesize", "market1501", "x", "--preset", "huge"],
    ["data", "synthesize", "market1501", "x", "--identities", "1", "2"],
    ["data", "synthesize", "market1501", "x", "--identities", "-1", "0", "2"],
    ["data", "synthesize", "market1501", "x", "--identities", "99999999", "0", "2"],
    ["data", "synthesize", "market1501", "x", "--images", "0", "0"],
    ["data", "synthesize", "market1501", "x", "--seed", "-1"],
    ["data", "synthesize", "market1501", "x", "--difficulty", "nan"],
    ["data", "synthesize", "market1501", "x", "--occlusion", "7"],
    ["data", "synthesize", "market1501", "x", "--workers", "0"],
    ["evaluate", _NO, _NO],
    ["evaluate", _NO],
    ["evaluate", "/dev/null", "/dev/null"],
    ["evaluate", "/", "/"],
    ["evaluate", _NO, _NO, "--protocol", "mine"],
    ["evaluate", _NO, _NO, "--metric", "mine"],
    ["evaluate", _NO, _NO, "--max-rank", "many"],
    ["evaluate", _NO, _NO, "--device", "tpu"],
    ["evaluate", _NO, _NO, "--device", "cuda:99"],
    ["rerank", _NO, _NO],
    ["rerank", _NO, _NO, "--out", "x.txt"],
    ["rerank", _NO, _NO, "--out", "/no/such/place/x.npz"],
    ["rerank", _NO, _NO, "--out", "x.npz", "--k1", "many"],
    ["rerank", _NO, _NO, "--out", "x.npz", "--method", "mine"],
]
