"""Figures from plain arrays.

CMC curves, ranked lists and activation maps need OpenCV only and are saved as PNG or JPEG. The
other figures, and CMC curves as SVG or PDF, need matplotlib, an optional dependency.
"""

from reid_ext.viz.activation import draw_activation
from reid_ext.viz.canvas import save_image
from reid_ext.viz.cmc import draw_cmc
from reid_ext.viz.cmc_file import plot_cmc
from reid_ext.viz.figures import (
    need_matplotlib,
    plot_angles,
    plot_average_precision,
    plot_camera_pairs,
    plot_embedding,
)
from reid_ext.viz.ranked_list import draw_ranked_list

__all__ = [
    "draw_activation",
    "draw_cmc",
    "draw_ranked_list",
    "need_matplotlib",
    "plot_angles",
    "plot_average_precision",
    "plot_camera_pairs",
    "plot_cmc",
    "plot_embedding",
    "save_image",
]


def __dir__() -> list[str]:
    return __all__
