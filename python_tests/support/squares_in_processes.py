"""Trains a small network on images in memory with torchrun; one process may fail during training.

    torchrun --nproc-per-node 2 squares_in_processes.py OUT [--fail kill|raise|hang] [--resume]

The second process fails in its 7th iteration, when the last checkpoint is that of the 4th. After a
restart no process fails. The script writes OUT/checkpoint.pt and, at the end, OUT/model.pt.
"""

import argparse
import os
import signal
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch

from reid_ext import data, distributed, models, training

IDENTITIES, ITERATIONS, SAVE_EVERY, FAILING = 8, 12, 4, 7
RECIPE = replace(
    training.EMBEDDED,
    identities_per_batch=4,
    images_per_modality=2,
    iterations=ITERATIONS,
    save_every=SAVE_EVERY,
    warmup=2,
    metric_ramp=(0, 4),
)


class Noise:
    """Random images in memory."""

    samples = tuple(
        data.Sample("", identity, 3 if modality else 1, None, modality)
        for identity in range(IDENTITIES)
        for modality in (0, 1)
        for _ in range(3)
    )

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, key):
        index, seed = key
        sample = self.samples[index]
        image = torch.randn(3, 48, 24, generator=torch.Generator().manual_seed(seed % 2**62))
        image[:, sample.identity : sample.identity + 4] += 2
        return image, sample.identity, sample.camera, sample.modality, 0, index


def failing(loader, how):
    """Yield the batches; the second process fails before batch FAILING if ``how`` is given."""
    for number, batch in enumerate(loader, start=1):
        if number == FAILING and distributed.rank() == 1 and not distributed.restarted():
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "raise":
                raise RuntimeError("the second process failed")
            if how == "hang":
                time.sleep(1000)
        yield batch


class Failing:
    def __init__(self, loader, how):
        self.loader, self.how = loader, how

    def __iter__(self):
        return failing(self.loader, self.how)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--fail", choices=["kill", "raise", "hang"])
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--timeout", type=int, default=200, help="seconds")
    args = parser.parse_args()
    torch.set_num_threads(1)
    device = distributed.join("cpu", timedelta(seconds=args.timeout))
    checkpoint = args.out / "checkpoint.pt"
    torch.manual_seed(0)
    model = models.TwoStream("small", IDENTITIES, neck=RECIPE.neck)
    if distributed.world_size() > 1:
        distributed.convert_norms(model)
    images = Noise()
    sampler = data.TwoModalityBatches(images.samples, 4, 2, batches=ITERATIONS)
    shared = distributed.ShareOfBatches(sampler)
    resume = args.resume or (distributed.restarted() and checkpoint.is_file())
    training.train(
        model,
        Failing(data.loader(images, shared), args.fail),
        training.build_objective("expat", RECIPE, model),
        RECIPE,
        sampler=shared,
        execution=training.Execution(device),
        saving=training.Saving(checkpoint, resume),
    )
    if distributed.is_main():
        torch.save(model.state_dict(), args.out / "model.pt")


if __name__ == "__main__":
    main()
