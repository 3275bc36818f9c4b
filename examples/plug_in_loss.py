"""Use a loss of reid_ext, or of another package, in your own training loop.

    python examples/plug_in_loss.py                # FIDI
    python examples/plug_in_loss.py --loss expat
    python examples/plug_in_loss.py --loss ntxent  # another package

Each synthetic identity is a random vector, and an image of it is this vector
times a fixed random matrix plus noise. The script prints the mAP of identities
that are not in the training set, before and after training. Expect it to rise
from about 0.1 to more than 0.4. The loss ntxent needs pytorch-metric-learning.
"""

import argparse

import torch
from torch import nn

from reid_ext import evaluate
from reid_ext.losses import ExpATLoss, FIDILoss, TripletLoss

IDENTITIES, IMAGES, RAW_DIM, LATENT_DIM, EMBEDDED_DIM = 64, 4, 256, 8, 64
NOISE = 8.0


def ntxent():
    """Return a loss of pytorch-metric-learning on the hardest pairs."""
    from pytorch_metric_learning.losses import NTXentLoss

    from reid_ext.compat import metric_learning

    return metric_learning.Foreign(NTXentLoss(), metric_learning.HardestMiner("cosine"))


LOSSES = {
    "fidi": lambda: FIDILoss(),
    "expat": lambda: ExpATLoss(),
    "triplet": lambda: TripletLoss(margin=0.3),
    "ntxent": ntxent,
}


def synthetic_images(identities, camera, generator):
    """Four noisy images of each identity, and their labels."""
    labels = torch.arange(len(identities)).repeat_interleave(IMAGES)
    noise = NOISE * torch.randn(len(labels), RAW_DIM, generator=generator)
    return identities[labels] @ camera + noise, labels


def random_identities(generator):
    return torch.randn(IDENTITIES, LATENT_DIM, generator=generator)


def mean_ap(model, images, labels):
    model.eval()
    with torch.no_grad():
        features = model(images)
    cameras = torch.arange(len(labels)) % IMAGES  # so that no image matches itself
    columns = {"query_cameras": cameras, "gallery_cameras": cameras}
    return evaluate(features, features, query_ids=labels, gallery_ids=labels, **columns).mAP


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--loss", choices=LOSSES, default="fidi", help="loss (default: fidi)")
    what = "number of training steps (default: 200)"
    parser.add_argument("--steps", type=int, default=200, metavar="N", help=what)
    args = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    camera = torch.randn(LATENT_DIM, RAW_DIM, generator=generator)
    test = synthetic_images(random_identities(generator), camera, generator)
    model = nn.Sequential(nn.Linear(RAW_DIM, EMBEDDED_DIM), nn.BatchNorm1d(EMBEDDED_DIM))
    loss_function = LOSSES[args.loss]()  # replace this line by your loss
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    print(f"mAP before: {mean_ap(model, *test):.2f}")
    for _ in range(args.steps):
        images, labels = synthetic_images(random_identities(generator), camera, generator)
        loss = loss_function(model.train()(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"mAP after:  {mean_ap(model, *test):.2f}  ({args.loss})")


if __name__ == "__main__":
    main()
