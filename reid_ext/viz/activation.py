"""An activation map over its image, in false colours."""

import cv2
import numpy as np

from reid_ext._runtime.arguments import integer
from reid_ext.viz import canvas


def draw_activation(image: np.ndarray, activation: np.ndarray, *, height: int = 256) -> np.ndarray:
    """Return the image beside itself under its activation, uint8 RGB (height, 2 x width, 3).

    Args:
        image: uint8 RGB (H, W, 3) or gray (H, W), any size.
        activation: (h, w), from 0 (as in the image) to 1 (red); of any size, as it is stretched
            over the image.
        height: Of the result in pixels; the width follows.

    Raises:
        ArgumentError: another shape, dtype or range.
    """
    function = "draw_activation"
    image = canvas.read_image(function, "image", image)
    heat = canvas.read_fractions(function, "activation", activation, ndim=2).astype(np.float32)
    height = integer(function, "height", height, 1)
    rgb = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image
    size = max(1, round(rgb.shape[1] * height / rgb.shape[0])), height
    rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC)
    stretched = cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR)[..., None]
    colors = cv2.applyColorMap(np.round(255 * stretched).astype(np.uint8), cv2.COLORMAP_TURBO)
    share = 0.7 * stretched  # nothing where nothing was seen
    over = (1 - share) * rgb + share * cv2.cvtColor(colors, cv2.COLOR_BGR2RGB)
    return np.concatenate([rgb, np.round(over).astype(np.uint8)], axis=1)
