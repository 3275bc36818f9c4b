"""Pseudo-labels for unlabelled people: clusters of images that share their nearest neighbours.

    python examples/cluster_pseudo_labels.py              # synthetic dataset, minutes on a CPU
    python examples/cluster_pseudo_labels.py --quick      # a tiny dataset, seconds, poor clusters
    python examples/cluster_pseudo_labels.py --data ROOT  # Market-1501 itself

A network learns from the labelled people and extracts features of others, whose labels are not
used. DBSCAN on their Jaccard distances gives each image a cluster, the label to train it on in the
next epoch. Prints the number of clusters, and the share of the pairs within a cluster that show
one person: expect about 55 % (chance is 1 %). Needs scikit-learn.
"""

from dataclasses import replace

import numpy as np
from sklearn.cluster import DBSCAN
from torch.nn import functional as F

from reid_ext import jaccard_distance
from reid_ext.training.command_line import one_line_errors, parse
from reid_ext.training.pipeline import trainings
from reid_ext.training.resources import allocated

RADIUS = 0.5  # of DBSCAN, in Jaccard distance
NOISE = -1  # DBSCAN's label of images in no cluster


def pseudo_labels(features):
    """A cluster for each image, or NOISE."""
    distances = jaccard_distance(F.normalize(features), k1=15, k2=4, max_distance=RADIUS)
    dbscan = DBSCAN(eps=RADIUS, min_samples=4, metric="precomputed")
    return dbscan.fit_predict(distances.to_scipy())


def pairs(labels):
    """Which of all pairs of images have the same label."""
    return np.triu(labels[:, None] == labels, k=1)


def compare(labels, identities):
    """Print what the clusters are worth, by the identities that nobody else may see."""
    kept = labels != NOISE
    together, same = pairs(labels) & kept[:, None], pairs(identities)
    right = (together & same).sum()
    print(f"{len(labels)} images of {len(set(identities))} people")
    print(f"{labels.max() + 1} clusters, {(~kept).sum()} images in none")
    print(f"pairs put together that are one person: {right / max(together.sum(), 1):.0%}")
    print(f"pairs of one person put together:       {right / same.sum():.0%}")
    print(f"pairs that are one person, by chance:   {same.mean() * 2:.1%}")


def main():
    options = parse(__doc__, "market1501")
    folder = options.out or f"runs/cluster-{options.loss}-{options.seed}"
    with allocated(replace(options, out=folder)) as options:
        (trained,) = trainings(options)
    identities = np.array([sample.identity for sample in trained.job.dataset.gallery])
    people = identities > 0  # no distractors
    compare(pseudo_labels(trained.gallery[people].tensor()), identities[people])


if __name__ == "__main__":
    with one_line_errors():
        main()
