"""Compute pseudo-labels for unlabelled images by clustering their features.

    python examples/cluster_pseudo_labels.py              # synthetic dataset
    python examples/cluster_pseudo_labels.py --quick      # tiny, seconds
    python examples/cluster_pseudo_labels.py --data ROOT  # Market-1501

The script trains a network on the labelled identities and extracts features of
the test identities, whose labels it does not use. DBSCAN on their Jaccard
distances assigns each image to a cluster, which is its label in the next epoch
of a training. The script prints the number of clusters, and the share of the
pairs within a cluster that show the same identity: expect about 55 % (chance is
1 %) without --quick. It needs scikit-learn and takes minutes on a CPU.
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
    """The cluster of each image, or NOISE."""
    distances = jaccard_distance(F.normalize(features), k1=15, k2=4, max_distance=RADIUS)
    dbscan = DBSCAN(eps=RADIUS, min_samples=4, metric="precomputed")
    return dbscan.fit_predict(distances.to_scipy())


def pairs(labels):
    """A mask of all pairs of images that have the same label."""
    return np.triu(labels[:, None] == labels, k=1)


def compare(labels, identities):
    """Print how well the clusters agree with the identities, which only this function uses."""
    kept = labels != NOISE
    together, same = pairs(labels) & kept[:, None], pairs(identities)
    right = (together & same).sum()
    print(f"{len(labels)} images of {len(set(identities))} identities")
    print(f"{labels.max() + 1} clusters, {(~kept).sum()} images without a cluster")
    print(f"pairs in one cluster with the same identity: {right / max(together.sum(), 1):.0%}")
    print(f"pairs of the same identity in one cluster:   {right / same.sum():.0%}")
    print(f"pairs with the same identity, by chance:     {same.mean() * 2:.1%}")


def main():
    options = parse(__doc__, "market1501")
    folder = options.out or f"runs/cluster-{options.loss}-{options.seed}"
    with allocated(replace(options, out=folder)) as options:
        (trained,) = trainings(options)
    identities = np.array([sample.identity for sample in trained.job.dataset.gallery])
    known = identities > 0  # without distractors
    compare(pseudo_labels(trained.gallery[known].tensor()), identities[known])


if __name__ == "__main__":
    with one_line_errors():
        main()
