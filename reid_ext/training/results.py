"""What a run shows of its evaluation: a table, a CMC figure, ranked lists, and metrics.json."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reid_ext import data, distributed, viz
from reid_ext._runtime.writing import whole_file
from reid_ext.evaluation import Ranking
from reid_ext.ops import cosine_matrix

RANKS = (1, 5, 10, 20)
LISTED = 10  # gallery images of a ranked list
ANGLE_QUERIES = 500  # times 20,000 images are 40 MB of angles


def metrics(ranking: Ranking) -> dict[str, float | str]:
    """Rank-1, -5, -10, -20, mAP and mINP as fractions, with the protocol's fingerprint."""
    ranks: dict[str, float | str] = {f"rank{k}": ranking.rank(k) for k in RANKS}
    return {"protocol": ranking.protocol, **ranks, "mAP": ranking.mAP, "mINP": ranking.mINP}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` to ``path``, whole or not at all; of several processes the first does."""
    if not distributed.is_main():
        return
    with whole_file(path) as part:
        part.write_text(json.dumps(content, indent=2, default=str) + "\n")


def table(rankings: Mapping[str, Ranking]) -> str:
    """One line per evaluation, in percent."""
    width = max(map(len, rankings))
    names = [*(f"rank-{k}" for k in RANKS), "mAP", "mINP"]
    lines = [" " * width + "".join(f"{name:>9}" for name in names)]
    for name, ranking in rankings.items():
        values = [*(ranking.rank(k) for k in RANKS), ranking.mAP, ranking.mINP]
        lines.append(f"{name:<{width}}" + "".join(f"{100 * value:9.1f}" for value in values))
    return "\n".join(lines)


def plot_cmc(rankings: Mapping[str, Ranking], path: Path, title: str) -> None:
    """Draw the CMC of each evaluation into one figure; of several processes the first does."""
    if not distributed.is_main():
        return
    curves = {name: ranking.cmc.numpy() for name, ranking in rankings.items()}
    viz.plot_cmc(curves, path, title=title)


def draw_ranked_lists(
    queries: Sequence[data.Sample],
    gallery: Sequence[data.Sample],
    distances: Tensor,
    path: Path,
    title: str,
) -> None:
    """Draw each query with its nearest gallery images, right and wrong.

    ``distances`` has shape (len(queries), len(gallery)), infinite where an image is not ranked. Of
    several processes the first draws.
    """
    if not distributed.is_main():
        return
    nearest = distances.topk(min(LISTED, len(gallery)), largest=False)
    shown = []
    for indices, values in zip(nearest.indices, nearest.values, strict=True):
        shown.append([gallery[i] for i in indices[torch.isfinite(values)].tolist()])
    sheet = viz.draw_ranked_list(
        [_pixels(q) for q in queries],
        [[_pixels(g) for g in row] for row in shown],
        [[g.identity == q.identity for g in row] for q, row in zip(queries, shown, strict=True)],
        query_captions=[_caption(q) for q in queries],
        gallery_captions=[[_caption(g) for g in row] for row in shown],
        title=title,
    )
    viz.save_image(path, sheet)


def draw_angles(
    dataset: data.Dataset, query: Tensor, gallery: Tensor, folder: Path, title: str
) -> None:
    """Write angles.png, histograms within and between identities, and angles.json, their medians.

    Of queries and gallery images; with many, of a part of the queries. Needs matplotlib. Of
    several processes the first does it.

    Source:
        Ye et al. 2020, arXiv:2006.00878: the angles that expAT acts on.
    """
    if not distributed.is_main():
        return
    rows = torch.linspace(0, len(query) - 1, min(len(query), ANGLE_QUERIES)).long()
    itself = torch.tensor(False)
    if len(gallery) == 0:  # a dataset whose galleries are drawn from its queries
        gallery, dataset = query, dataset._replace(gallery=dataset.query)
        itself = rows[:, None] == torch.arange(len(query))
    ids = torch.tensor([dataset.query[row].identity for row in rows.tolist()])
    other = torch.tensor([s.identity for s in dataset.gallery])
    angles = cosine_matrix(query[rows], gallery, angle=True)
    same = ids[:, None] == other
    positive, negative = (angles[pairs].numpy() for pairs in (same & ~itself, ~same))
    viz.plot_angles(positive, negative, folder / "angles.png", title=title)
    degrees = {"positive": positive, "negative": negative}
    medians = {name: float(np.rad2deg(np.median(a))) for name, a in degrees.items()}
    write_json(folder / "angles.json", {"median degrees": medians})


def _pixels(sample: data.Sample) -> np.ndarray:
    return data.decode(sample.path)


def _caption(sample: data.Sample) -> str:
    return f"id {sample.identity}, cam {sample.camera}"
