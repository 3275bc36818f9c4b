"""Pseudo-labels without labels: images clustered by the neighbours they share.

    python examples/cluster_pseudo_labels.py              # embedded dataset, seconds on a CPU
    python examples/cluster_pseudo_labels.py --radius 0.4 --data ROOT    # Market-1501 itself

This is the clustering step of unsupervised re-identification, done before every epoch on the
features of the network as it is; here on colours of horizontal stripes, so that nothing has to be
trained. Prints how many clusters DBSCAN found among the training images, and what share of the
pairs it put together are of one person, which you must see far above chance. Needs scikit-learn.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import DBSCAN
from torch.nn import functional as F

from reid_ext import data, jaccard_distance
from reid_ext.training import experiment

STRIPES = 16  # of a person's height
NOISE = -1  # DBSCAN's label of images in no cluster


def stripe_colours(samples):
    """Unit features (N, 3 * STRIPES): the mean colour of each stripe, in the middle third."""
    rows = []
    for sample in samples:
        image = torch.from_numpy(data.decode(sample.path)).float()
        middle = image[:, image.shape[1] // 3 : -(image.shape[1] // 3)].mean(1)  # (height, 3)
        rows.append(F.adaptive_avg_pool1d(middle.T, STRIPES).flatten())
    features = torch.stack(rows)
    return F.normalize(features - features.mean(0))


def pairs(labels):
    """Which of all pairs of images have the same label."""
    return np.triu(labels[:, None] == labels, k=1)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, metavar="ROOT", help="Market-1501; else made-up people"
    )
    parser.add_argument("--radius", type=float, default=0.5, help="of DBSCAN, in (0, 1)")
    args = parser.parse_args()
    root = args.data or experiment.cache_folder() / "market1501-default"
    if not args.data:
        data.synthesize("market1501", root, seed=1)
    samples = data.load("market1501", root).train
    identities = np.array([sample.identity for sample in samples])

    features = stripe_colours(samples)  # of the network, from the second epoch on
    distances = jaccard_distance(features, k1=20, k2=4, max_distance=args.radius)
    dbscan = DBSCAN(eps=args.radius, min_samples=4, metric="precomputed")
    labels = dbscan.fit_predict(distances.to_scipy())

    kept = labels != NOISE
    together, same = pairs(labels[kept]), pairs(identities[kept])
    chance = pairs(identities).sum() / (len(samples) * (len(samples) - 1) / 2)
    print(
        f"{len(samples)} images of {len(set(identities))} people, {len(features[0])} numbers each"
    )
    print(f"{labels.max() + 1} clusters, {(~kept).sum()} images in none")
    print(f"pairs together that are one person: {(together & same).sum() / together.sum():.0%}")
    print(f"pairs of one person, by chance:     {chance:.0%}")


if __name__ == "__main__":
    main()
