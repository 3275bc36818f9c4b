"""The outputs of an evaluation: a table, a CMC figure, ranked lists and metrics.json."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reid_ext import data, distributed, viz
from reid_ext._runtime.writing import whole_file
from reid_ext.evaluation import RankedLists, Ranking
from reid_ext.features import FeatureSet
from reid_ext.ops import cosine_matrix

RANKS = (1, 5, 10, 20)
LISTED = 10  # gallery images in a ranked list
ANGLE_QUERIES = 500  # with 20,000 gallery images these are 40 MB of angles


def metrics(ranking: Ranking) -> dict[str, Any]:
    """Rank-1, -5, -10, -20, mAP and mINP as fractions, with the protocol that gave them."""
    ranks = {f"rank{k}": ranking.rank(k) for k in RANKS}
    made = {"protocol": str(ranking.protocol), "provenance": ranking.protocol.to_dict()}
    return {**made, **ranks, "mAP": ranking.mAP, "mINP": ranking.mINP}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` to ``path`` in the first process; the file is complete or unchanged."""
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
    """Draw the CMC of each evaluation into one figure, in the first process only."""
    if not distributed.is_main():
        return
    curves = {name: ranking.cmc.numpy() for name, ranking in rankings.items()}
    viz.plot_cmc(curves, path, title=title)


def draw_ranked_lists(
    lists: RankedLists,
    query: Sequence[data.Sample],
    gallery: Sequence[data.Sample],
    path: Path,
    title: str,
) -> None:
    """Draw each query of the lists with its gallery images, marked as right or wrong.

    ``query`` and ``gallery`` are the samples to which the rows in the lists refer. Only the first
    process draws.
    """
    if not distributed.is_main():
        return
    queries = [query[row] for row in lists.query.tolist()]
    shown = [[gallery[row] for row in rows if row >= 0] for rows in lists.gallery.tolist()]
    right = [flags[: len(row)] for flags, row in zip(lists.matches.tolist(), shown, strict=True)]
    sheet = viz.draw_ranked_list(
        [_pixels(q) for q in queries],
        [[_pixels(g) for g in row] for row in shown],
        right,
        query_captions=[_caption(q) for q in queries],
        gallery_captions=[[_caption(g) for g in row] for row in shown],
        title=title,
    )
    viz.save_image(path, sheet)


def draw_angles(query: FeatureSet, gallery: FeatureSet | None, folder: Path, title: str) -> None:
    """Write histograms of angles to angles.png and their medians to angles.json.

    The angles are those between queries and gallery images, within and between identities. If
    there are many queries, a part of them is used. The function needs matplotlib. Only the first
    process writes.

    Source:
        Ye et al. 2020, arXiv:2006.00878, whose loss expAT acts on these angles.
    """
    if not distributed.is_main():
        return
    rows = torch.linspace(0, len(query) - 1, min(len(query), ANGLE_QUERIES)).long()
    itself = torch.tensor(False)
    if gallery is None:  # the protocol draws it from the queries
        gallery = query
        itself = rows[:, None] == torch.arange(len(query))
    some = query[rows]
    angles = cosine_matrix(some.tensor(), gallery.tensor(), angle=True)
    same = some.columns["identities"][:, None] == gallery.columns["identities"]
    positive, negative = (angles[pairs].numpy() for pairs in (same & ~itself, ~same))
    viz.plot_angles(positive, negative, folder / "angles.png", title=title)
    degrees = {"positive": positive, "negative": negative}
    medians = {name: float(np.rad2deg(np.median(a))) for name, a in degrees.items()}
    write_json(folder / "angles.json", {"median degrees": medians})


def _pixels(sample: data.Sample) -> np.ndarray:
    return data.decode(sample.path)


def _caption(sample: data.Sample) -> str:
    return f"id {sample.identity}, cam {sample.camera}"
