"""A checkpoint in the format of the training scripts, with an untrained network."""

from dataclasses import asdict

import torch

from reid_ext import models, training
from reid_ext.training import checkpoint

IDENTITIES = 5


def write_checkpoint(path, neck):
    """Write a small network with this neck to ``path`` and return it in evaluation mode."""
    torch.manual_seed(0)
    model = models.TwoStream("small", IDENTITIES, neck=neck).eval()
    model.neck.running_mean.normal_()  # so that the neck changes the features
    content = {key: {} for key in checkpoint._KEYS}
    content |= {"format": checkpoint.FORMAT, "version": checkpoint.VERSION}
    settings = {**asdict(training.EMBEDDED), "neck": neck}
    content |= {"model": model.state_dict(), "average": None, "settings": settings}
    checkpoint.write_atomically(content, path)
    return model
