"""Pictures for the tests of images."""

import cv2
import numpy as np
import torch

from reid_ext import data

H, W = 24, 12
MEAN, STD = np.array(data.IMAGENET_MEAN), np.array(data.IMAGENET_STD)


def picture(seed=0, height=H, width=W):
    """A smooth RGB image, so that JPEG changes it little."""
    noise = np.random.default_rng(seed).uniform(-200, 455, (height, width, 3)).clip(0, 255)
    return cv2.GaussianBlur(noise.astype(np.uint8), (0, 0), 2)


def write(path, rgb, *parameters):
    """Through bytes: imwrite cannot write every name on every system."""
    encoded = cv2.imencode(path.suffix, rgb[..., ::-1], list(parameters))[1]
    path.write_bytes(encoded.tobytes())
    return path


def normalised(rgb):
    """What a network reads, in plain NumPy."""
    return torch.from_numpy((rgb / 255 - MEAN) / STD).permute(2, 0, 1).float()


def same(actual, expected):
    # Values reach 2.6; the float32 formula rounds them twice, the reference once.
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)


def everything(**other):
    """A transform that draws all it can draw."""
    return data.TrainingTransform((H, W), pad=(3, 2), mix=0.5, gain=0.2, offset=0.2, **other)
