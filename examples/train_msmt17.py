"""Train and evaluate person re-identification on MSMT17.

    python examples/train_msmt17.py                      # embedded dataset, minutes on a CPU
    python examples/train_msmt17.py --loss va            # any loss of the package
    python examples/train_msmt17.py --data ROOT          # MSMT17 itself, expAT's recipe
    python examples/train_msmt17.py --train-on trainval  # list_val too

Without --data it renders made-up people in MSMT17's layout. Each query searches the images of the
other cameras. On the embedded dataset you must see rank-1 rise from a few percent to about 67 %.
Writes OUT/metrics.json, checkpoint.pt, cmc.png, ranked_list.png and TensorBoard events.
"""

import functools
import time

from reid_ext import data, training
from reid_ext.training import experiment, one_gallery, stages

NAME = "msmt17"


def flags(parser):
    one_gallery.flags(parser)
    parser.add_argument("--train-on", choices=["train", "trainval"], default="train")


def main():
    args = experiment.arguments(__doc__, training.OBJECTIVES, "msmt17", flags)
    start = time.perf_counter()
    root, recipe = stages.prepare(args, NAME, training.MSMT17, training.EMBEDDED_VISIBLE)
    dataset = data.load(NAME, root, evaluate_on=args.evaluate_on, train_on=args.train_on)
    rank = functools.partial(one_gallery.rank, args, dataset)
    model, outcome, recipe = stages.train(args, dataset, recipe, rank)
    query, gallery = stages.embed(args, dataset, model, recipe)
    rankings = rank(query, gallery, recipe.metric)
    one_gallery.draw(args, dataset, rankings, query, gallery)
    stages.finish(args, dataset, rankings, outcome, recipe, start)


if __name__ == "__main__":
    with experiment.one_line_errors():
        main()
