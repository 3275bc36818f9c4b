"""Train and evaluate person re-identification on Market-1501.

    python examples/train_market1501.py              # embedded dataset, minutes on a CPU
    python examples/train_market1501.py --loss va    # any loss of the package
    python examples/train_market1501.py --data ROOT  # Market-1501 itself, expAT's recipe

Without --data it renders made-up people in Market-1501's layout. Each query searches the images of
the other cameras, among distractors. On the embedded dataset you must see rank-1 rise from a few
percent to about 75 %. Writes OUT/metrics.json, checkpoint.pt, cmc.png, ranked_list.png and
TensorBoard events.
"""

import functools
import time

from reid_ext import data, training
from reid_ext.training import experiment, one_gallery, stages

NAME = "market1501"


def main():
    args = experiment.arguments(__doc__, training.OBJECTIVES, "market1501", one_gallery.flags)
    start = time.perf_counter()
    root, recipe = stages.prepare(args, NAME, training.MARKET1501, training.EMBEDDED_VISIBLE)
    dataset = data.load(NAME, root, evaluate_on=args.evaluate_on)
    rank = functools.partial(one_gallery.rank, args, dataset)
    model, outcome, recipe = stages.train(args, dataset, recipe, rank)
    query, gallery = stages.embed(args, dataset, model, recipe)
    rankings = rank(query, gallery, recipe.metric)
    one_gallery.draw(args, dataset, rankings, query, gallery, ignored_identity=data.market1501.JUNK)
    stages.finish(args, dataset, rankings, outcome, recipe, start)


if __name__ == "__main__":
    with experiment.one_line_errors():
        main()
