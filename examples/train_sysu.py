"""Train and evaluate visible-infrared person re-identification on SYSU-MM01.

    python examples/train_sysu.py                 # embedded dataset, minutes on a CPU
    python examples/train_sysu.py --loss softmax  # the identity loss alone
    python examples/train_sysu.py --data ROOT     # SYSU-MM01 itself, expAT's recipe

Without --data it renders made-up people in SYSU-MM01's layout. Infrared queries search a visible
gallery, all-search and indoor, single- and multi-shot, mean of 10 trials. On the embedded dataset
you must see rank-1 (all-search, single-shot) rise from 4 % (chance) to about 50 %. Writes
OUT/metrics.json, checkpoint.pt, cmc.png, ranked_list.png and TensorBoard events.
"""

import functools
import time

import torch

from reid_ext import cosine_matrix, data, evaluate_sysu, training
from reid_ext.evaluation import select_galleries
from reid_ext.training import experiment, stages
from reid_ext.training import results as report

SETTINGS = [(mode, shots) for mode in ("all", "indoor") for shots in (1, 10)]
LISTED_QUERIES = 6


def evaluate(root, dataset, query, gallery, metric):
    """The rankings of the four settings by name."""
    return {
        f"{mode}, {shots}-shot": evaluate_sysu(
            query,
            gallery,
            query_ids=[s.identity for s in dataset.query],
            gallery_ids=[s.identity for s in dataset.gallery],
            query_cameras=[s.camera for s in dataset.query],
            gallery_cameras=[s.camera for s in dataset.gallery],
            gallery_images=data.sysu.image_numbers(dataset.gallery),
            permutations=data.sysu.load_permutations(root),
            mode=mode,
            shots=shots,
            metric=metric,
        )
        for mode, shots in SETTINGS
    }


def draw(args, dataset, rankings, query, gallery):
    """The CMC figure, and ranked lists of a few queries in the first single-shot gallery."""
    report.plot_cmc(rankings, args.out / "cmc.png", f"SYSU-MM01 protocol, {args.loss}")
    ids = [s.identity for s in dataset.gallery]
    cameras = [s.camera for s in dataset.gallery]
    rows = select_galleries(ids, cameras, trials=1)[0]
    chosen = torch.randperm(len(query), generator=torch.Generator().manual_seed(args.seed))
    chosen = chosen[:LISTED_QUERIES].tolist()
    distances = 1 - cosine_matrix(query[chosen], gallery[rows])
    for row, q in enumerate(chosen):
        if dataset.query[q].camera == 3:  # camera 2 looks at the same place: not ranked
            distances[row, [cameras[g] == 2 for g in rows]] = torch.inf
    shown = [dataset.query[q] for q in chosen], [dataset.gallery[g] for g in rows]
    title = f"infrared queries, nearest visible images ({args.loss})"
    report.draw_ranked_lists(*shown, distances, args.out / "ranked_list.png", title)


def main():
    args = experiment.arguments(__doc__, training.OBJECTIVES, "sysu")
    start = time.perf_counter()
    root, recipe = stages.prepare(args, "sysu-mm01", training.SYSU, training.EMBEDDED)
    dataset = data.load("sysu-mm01", root, evaluate_on=args.evaluate_on)
    rank = functools.partial(evaluate, root, dataset)
    model, outcome, recipe = stages.train(args, dataset, recipe, rank)
    query, gallery = stages.embed(args, dataset, model, recipe)
    rankings = rank(query, gallery, recipe.metric)
    draw(args, dataset, rankings, query, gallery)
    stages.finish(args, dataset, rankings, outcome, recipe, start)


if __name__ == "__main__":
    with experiment.one_line_errors():
        main()
