"""Figures from plain arrays, drawn with OpenCV alone and written as PNG or JPEG."""

from reid_ext.viz.canvas import save_image
from reid_ext.viz.cmc import draw_cmc, plot_cmc
from reid_ext.viz.ranked_list import draw_ranked_list

__all__ = ["draw_cmc", "draw_ranked_list", "plot_cmc", "save_image"]
