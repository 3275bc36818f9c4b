"""Train and evaluate visible-infrared person re-identification on LLCM.

    python examples/train_llcm.py --data ROOT                 # expAT's recipe of SYSU-MM01
    python examples/train_llcm.py --data ROOT --loss softmax  # any loss of the package

Images of one modality search the other's, ten trials that draw one gallery image of an identity and
camera; results are their mean, in both directions. The dataset is on request from its authors, and
the package renders none in its layout, so --data is needed; docs/datasets.md shows the folders.
Writes OUT/metrics.json, checkpoint.pt, cmc.png, ranked_list.png and TensorBoard events.
"""

import functools
import time
from dataclasses import replace

from reid_ext import data, training
from reid_ext.evaluation import evaluate_llcm
from reid_ext.training import experiment, one_gallery, real_data, stages

NAME = "llcm"
RECIPE = replace(training.SYSU, name=NAME)  # of the same two modalities


def ranking(query, gallery, queries, candidates, metric):
    """The mean of ten trials for samples and features of one modality against the other."""
    return evaluate_llcm(
        query,
        gallery,
        query_ids=[s.identity for s in queries],
        gallery_ids=[s.identity for s in candidates],
        query_cameras=[s.camera for s in queries],
        gallery_cameras=[s.camera for s in candidates],
        metric=metric,
    )


def both_directions(dataset, query, gallery, metric):
    """The rankings of either modality's queries by name."""
    return {
        "infrared to visible": ranking(query, gallery, dataset.query, dataset.gallery, metric),
        "visible to infrared": ranking(gallery, query, dataset.gallery, dataset.query, metric),
    }


def main():
    args = experiment.arguments(__doc__, training.OBJECTIVES, NAME)
    start = time.perf_counter()
    root, recipe = real_data.prepare(args, "the folder of LLCM", RECIPE)
    dataset = data.load(NAME, root, evaluate_on=args.evaluate_on)
    rank = functools.partial(both_directions, dataset)
    model, outcome, recipe = stages.train(args, dataset, recipe, rank)
    query, gallery = stages.embed(args, dataset, model, recipe)
    rankings = rank(query, gallery, recipe.metric)
    one_gallery.draw(args, dataset, rankings, query, gallery)
    stages.finish(args, dataset, rankings, outcome, recipe, start)


if __name__ == "__main__":
    with experiment.one_line_errors():
        main()
