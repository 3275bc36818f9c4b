"""Train and evaluate person re-identification on CUHK03-NP.

    python examples/train_cuhk03.py                  # embedded dataset, minutes on a CPU
    python examples/train_cuhk03.py --loss va        # any loss of the package
    python examples/train_cuhk03.py --data ROOT      # CUHK03-NP itself, expAT's recipe
    python examples/train_cuhk03.py --boxes labeled  # those drawn by hand

Without --data it renders made-up people in CUHK03-NP's layout. Each query searches the images of
the other camera of its pair. On the embedded dataset you must see rank-1 rise from a few percent to
about 84 %. Writes OUT/metrics.json, checkpoint.pt, cmc.png, ranked_list.png and TensorBoard events.
"""

import functools
import time

from reid_ext import data, training
from reid_ext.training import experiment, one_gallery, stages

NAME = "cuhk03-np"


def flags(parser):
    one_gallery.flags(parser)
    parser.add_argument("--boxes", choices=data.cuhk03.BOXES, default="detected")


def main():
    args = experiment.arguments(__doc__, training.OBJECTIVES, "cuhk03", flags)
    start = time.perf_counter()
    root, recipe = stages.prepare(args, NAME, training.CUHK03, training.EMBEDDED_VISIBLE)
    dataset = data.load(NAME, root, evaluate_on=args.evaluate_on, boxes=args.boxes)
    rank = functools.partial(one_gallery.rank, args, dataset)
    model, outcome, recipe = stages.train(args, dataset, recipe, rank)
    query, gallery = stages.embed(args, dataset, model, recipe)
    rankings = rank(query, gallery, recipe.metric)
    one_gallery.draw(args, dataset, rankings, query, gallery)
    stages.finish(args, dataset, rankings, outcome, recipe, start)


if __name__ == "__main__":
    with experiment.one_line_errors():
        main()
