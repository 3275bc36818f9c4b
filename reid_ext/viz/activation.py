"""An activation map drawn over its image in false colours."""

import cv2
import numpy as np

from reid_ext._runtime.arguments import integer
from reid_ext.viz import canvas


def draw_activation(image: np.ndarray, activation: np.ndarray, *, height: int = 256) -> np.ndarray:
    """Return the image next to its activation map, uint8 RGB of shape (height, 2 * width, 3).

    Args:
        image: uint8 RGB image (H, W, 3) or gray image (H, W) of any size.
        activation: Activations (h, w) from 0 (image unchanged) to 1 (red). The map may have any
            size; it is stretched over the image.
        height: Height of the result in pixels. The width keeps the aspect ratio. Default: 256.

    Returns:
        The picture as an array.

    Raises:
        ArgumentError: If an argument has an invalid shape, dtype or range.

    Examples:
        >>> import numpy as np
        >>> from reid_ext import viz
        >>> image = np.zeros((64, 32, 3), np.uint8)
        >>> viz.draw_activation(image, np.eye(4), height=128).shape
        (128, 128, 3)
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
    share = 0.7 * stretched  # zero activation leaves the image unchanged
    over = (1 - share) * rgb + share * cv2.cvtColor(colors, cv2.COLOR_BGR2RGB)
    return np.concatenate([rgb, np.round(over).astype(np.uint8)], axis=1)
