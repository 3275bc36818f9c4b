"""Images for the tests of the image pipeline."""

import cv2
import numpy as np
import torch

from reid_ext import data

H, W = 24, 12
MEAN, STD = np.array(data.IMAGENET_MEAN), np.array(data.IMAGENET_STD)


def picture(seed=0, height=H, width=W):
    """A smooth RGB image, which JPEG changes little."""
    noise = np.random.default_rng(seed).uniform(-200, 455, (height, width, 3)).clip(0, 255)
    return cv2.GaussianBlur(noise.astype(np.uint8), (0, 0), 2)


def write(path, rgb, *parameters):
    """Encode and write the bytes, because imwrite does not support every file name."""
    encoded = cv2.imencode(path.suffix, rgb[..., ::-1], list(parameters))[1]
    path.write_bytes(encoded.tobytes())
    return path


def normalised(rgb):
    """The normalised input of a network, computed in plain NumPy."""
    return torch.from_numpy((rgb / 255 - MEAN) / STD).permute(2, 0, 1).float()


def same(actual, expected):
    # Values are up to 2.6. The float32 formula rounds them twice, and the reference once.
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)


def everything(**other):
    """A transform with all random changes."""
    return data.TrainingTransform((H, W), pad=(3, 2), mix=0.5, gain=0.2, offset=0.2, **other)
