r"""Train and evaluate re-identification on your own images.

    python examples/train_folders.py --data mine                        # folders of folders
    python examples/train_folders.py --data mine --camera '_c(\d+)'     # camera in the file names
    python examples/train_folders.py --data mine/list.csv --loss fidi   # a list, CSV or JSON
    python examples/train_folders.py --data mine --backbone small       # without a GPU, a start

docs/datasets.md shows what folders and lists must look like. With images of two modalities in the
list, each batch has as many of both. Where cameras are known, a query searches the others'; else
all images. The recipe is expAT's, over as many passes through the images as through Market-1501's.
Writes OUT/metrics.json, checkpoint.pt, cmc.png, ranked_list.png and TensorBoard events.
"""

import functools
import time

from reid_ext import data, evaluate, training
from reid_ext.training import experiment, one_gallery, real_data, stages

MARKET_IMAGES, SYSU_IMAGES = 12_936, 30_213  # that the recipes are for


def flags(parser):
    what = "regular expression whose group is the camera in a file name; for folders"
    parser.add_argument("--camera", default="", metavar="REGEX", help=what)


def load(args, root):
    if root.suffix.lower() in (".csv", ".json"):
        return data.load("manifest", root, evaluate_on=args.evaluate_on)
    return data.load("folders", root, evaluate_on=args.evaluate_on, camera=args.camera)


def cameras_known(dataset):
    return len({s.camera for s in [*dataset.query, *dataset.gallery]}) > 1


def ranked(dataset, query, gallery, metric):
    """The ranking by its dataset's name; images of the query's camera are junk if all have one."""
    ranking = evaluate(
        query,
        gallery,
        query_ids=[s.identity for s in dataset.query],
        gallery_ids=[s.identity for s in dataset.gallery],
        query_cameras=[s.camera for s in dataset.query],
        gallery_cameras=[s.camera for s in dataset.gallery],
        protocol="dukemtmc-reid" if cameras_known(dataset) else "generic",
        metric=metric,
    )
    return {dataset.name: ranking}


def main():
    args = experiment.arguments(__doc__, training.OBJECTIVES, "folders", flags)
    start = time.perf_counter()
    root, one = real_data.prepare(args, "your folder, .csv or .json list", training.MARKET1501)
    dataset = load(args, root)
    two_modalities = len({s.modality for s in dataset.train}) == 2
    recipe = real_data.adapted(training.SYSU, args) if two_modalities else one
    of_recipe = SYSU_IMAGES if two_modalities else MARKET_IMAGES
    recipe = real_data.stretched(recipe, len(dataset.train), of_recipe, args)
    rank = functools.partial(ranked, dataset)
    model, outcome, recipe = stages.train(args, dataset, recipe, rank)
    query, gallery = stages.embed(args, dataset, model, recipe)
    rankings = rank(query, gallery, recipe.metric)
    known = cameras_known(dataset)
    one_gallery.draw(args, dataset, rankings, query, gallery, same_camera_is_junk=known)
    stages.finish(args, dataset, rankings, outcome, recipe, start)


if __name__ == "__main__":
    with experiment.one_line_errors():
        main()
