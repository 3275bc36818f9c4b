"""Use the network, loss and evaluation of reid_ext in Lightning.

    pip install lightning torchmetrics
    python examples/lightning_module.py --steps 60

The script renders a synthetic dataset in the layout of Market-1501 to
runs/lightning. The batches, the loss and the metric are those of reid_ext.
Lightning runs the loop and the optimiser and chooses the device. Expect rank-1
to rise from about 0.2 to more than 0.7, in about a minute on a CPU.
"""

import argparse
from pathlib import Path

import lightning
import torch

from reid_ext import data, losses, models
from reid_ext.compat.torchmetrics import ReIDRetrieval

SIZE = 96, 48
IDENTITIES, IMAGES = 8, 4  # identities per batch and images per identity


class Embedder(lightning.LightningModule):
    """The small network with identity and expAT losses, validated by retrieval."""

    def __init__(self, num_identities, learning_rate=1e-3):
        super().__init__()
        self.model = models.TwoStream("small", num_identities)
        self.metric_loss = losses.ExpATLoss()
        self.retrieval = ReIDRetrieval(protocol="market1501")
        self.learning_rate = learning_rate

    def training_step(self, batch, batch_index):
        features = self.model(batch.images, batch.modalities).features
        logits = self.model.classifier(features)
        identity = torch.nn.functional.cross_entropy(logits, batch.labels)
        loss = identity + self.metric_loss(features, batch.labels)
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_index, dataloader_idx):
        features = self.model(batch.images, batch.modalities).features
        self.retrieval.update(features, batch.labels, batch.cameras, dataloader_idx == 0)

    def on_validation_epoch_end(self):
        if not self.trainer.sanity_checking:
            self.log_dict(self.retrieval.compute())
        self.retrieval.reset()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.learning_rate, weight_decay=5e-4)


def loaders(root):
    """The training batches, the loaders of queries and gallery, and the number of identities."""
    dataset = data.load("market1501", root)
    labels = data.relabel(dataset.train)
    train = data.Images(dataset.train, data.TrainingTransform(SIZE, pad=(4, 2)), labels=labels)
    batches = data.IdentityBatches(dataset.train, IDENTITIES, IMAGES, seed=0)
    tests = [
        data.Images(s, data.EvaluationTransform(SIZE)) for s in (dataset.query, dataset.gallery)
    ]
    return (
        data.loader(train, batches),
        [data.loader(images, data.SequentialBatches(len(images), 128)) for images in tests],
        len(labels),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = "number of training steps (default: 60)"
    parser.add_argument("--steps", type=int, default=60, metavar="N", help=what)
    out = Path("runs/lightning")
    what = f"output folder (default: {out})"
    parser.add_argument("--out", type=Path, default=out, help=what)
    args = parser.parse_args()
    root = data.synthesize("market1501", args.out / "data", preset="tiny", seed=1)
    train, tests, num_identities = loaders(root)
    lightning.seed_everything(0)
    module = Embedder(num_identities)
    trainer = lightning.Trainer(
        max_steps=args.steps,
        default_root_dir=args.out,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    before = trainer.validate(module, tests, verbose=False)[0]
    trainer.fit(module, train)
    after = trainer.validate(module, tests, verbose=False)[0]
    for name in ("rank1", "mAP"):
        print(f"{name}: {before[name]:.2f} before, {after[name]:.2f} after")


if __name__ == "__main__":
    main()
