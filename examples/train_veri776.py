"""Train and evaluate vehicle re-identification on VeRi-776.

    python examples/train_veri776.py              # embedded dataset, minutes on a CPU
    python examples/train_veri776.py --loss fidi  # any loss of the package
    python examples/train_veri776.py --data ROOT  # VeRi-776 itself, expAT's recipe

Without --data it renders made-up people in VeRi-776's layout: the package draws no vehicles, so
such a run tries the script out and no more. Each query searches the images of the other cameras.
You must then see rank-1 rise far above a few percent, which is chance. Writes OUT/metrics.json,
checkpoint.pt, cmc.png, ranked_list.png and TensorBoard events.
"""

import functools
import time

from reid_ext import data, training
from reid_ext.training import experiment, one_gallery, stages

NAME = "veri776"


def main():
    args = experiment.arguments(__doc__, training.OBJECTIVES, "veri776", one_gallery.flags)
    start = time.perf_counter()
    root, recipe = stages.prepare(args, NAME, training.VERI776, training.EMBEDDED_VISIBLE)
    dataset = data.load(NAME, root, evaluate_on=args.evaluate_on)
    rank = functools.partial(one_gallery.rank, args, dataset)
    model, outcome, recipe = stages.train(args, dataset, recipe, rank)
    query, gallery = stages.embed(args, dataset, model, recipe)
    rankings = rank(query, gallery, recipe.metric)
    one_gallery.draw(args, dataset, rankings, query, gallery)
    stages.finish(args, dataset, rankings, outcome, recipe, start)


if __name__ == "__main__":
    with experiment.one_line_errors():
        main()
