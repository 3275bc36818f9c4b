"""Train and evaluate vehicle re-identification on PKU VehicleID.

    python examples/train_vehicleid.py --data ROOT              # the recipe of VeRi-776
    python examples/train_vehicleid.py --data ROOT --size 2400  # the large test list
    python examples/train_vehicleid.py --data ROOT --loss fidi  # any loss of the package

Ten trials draw one image of each test vehicle as the gallery, all others query; results are their
mean. The dataset is on request from its authors, and the package draws no vehicles, so --data is
needed; docs/datasets.md shows the folders. Writes OUT/metrics.json, checkpoint.pt, cmc.png,
ranked_list.png and TensorBoard events.
"""

import functools
import time
from dataclasses import replace

from reid_ext import data, training
from reid_ext.evaluation import evaluate_sampled_gallery
from reid_ext.training import experiment, one_gallery, real_data, stages

NAME = "vehicleid"
VERI_IMAGES = 37_778  # that the recipe of VeRi-776 is for


def flags(parser):
    what = "vehicles of the test list"
    parser.add_argument("--size", type=int, choices=data.vehicleid.SIZES, default=800, help=what)


def draw(args, dataset, rankings, features):
    """Ranked lists of a gallery of the first image of each vehicle, and the CMC."""
    first = {}
    for row, sample in enumerate(dataset.query):
        first.setdefault(sample.identity, row)
    gallery = sorted(first.values())
    query = sorted(set(range(len(features))) - set(gallery))
    divided = dataset._replace(
        query=[dataset.query[row] for row in query],
        gallery=[dataset.query[row] for row in gallery],
    )
    sides = features[query], features[gallery]
    one_gallery.draw(args, divided, rankings, *sides, same_camera_is_junk=False)


def sampled(dataset, features, _, metric):
    """The mean ranking of random galleries, one image of each identity."""
    ids = [s.identity for s in dataset.query]
    return {NAME: evaluate_sampled_gallery(features, ids=ids, metric=metric)}


def main():
    args = experiment.arguments(__doc__, training.OBJECTIVES, NAME, flags)
    start = time.perf_counter()
    root, recipe = real_data.prepare(
        args, "the folder of VehicleID", replace(training.VERI776, name=NAME)
    )
    dataset = data.load(NAME, root, evaluate_on=args.evaluate_on, size=args.size)
    recipe = real_data.stretched(recipe, len(dataset.train), VERI_IMAGES, args)
    dataset = dataset._replace(gallery=[])  # drawn from the test images, which are the queries
    rank = functools.partial(sampled, dataset)
    model, outcome, recipe = stages.train(args, dataset, recipe, rank)
    features, nothing = stages.embed(args, dataset, model, recipe)
    rankings = rank(features, nothing, recipe.metric)
    draw(args, dataset, rankings, features)
    stages.finish(args, dataset, rankings, outcome, recipe, start)


if __name__ == "__main__":
    with experiment.one_line_errors():
        main()
