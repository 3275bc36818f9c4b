"""CMC curves in a file: as a picture with OpenCV, or as SVG or PDF with matplotlib."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.viz import canvas, figures
from reid_ext.viz.cmc import draw_cmc, rank_ticks, read_curves


def plot_cmc(
    curves: Mapping[str, np.ndarray], path: str | Path, *, title: str = "", max_rank: int = 20
) -> None:
    """Draw CMC curves and write them to ``path``.

    Args:
        curves: As in :func:`draw_cmc`.
        path: Path of the file in an existing folder. Its suffix, in any case, selects the format:
            .png or .jpg is drawn with OpenCV, .svg or .pdf with matplotlib.
        title: Title above the axes.
        max_rank: Last rank to show. Default: 20.

    Raises:
        ArgumentError: If an argument is invalid, or the suffix is not supported.
        FileNotFoundError: If the folder of ``path`` does not exist.
        ImportError: If the file is SVG or PDF and matplotlib is not installed.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from reid_ext import viz
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "cmc.png")
        ...     viz.plot_cmc({"ours": np.array([0.6, 0.8, 1.0])}, path)
        ...     path.exists()
        True
    """
    path = Path(path)
    if path.suffix.lower() in (".svg", ".pdf"):
        _plot(curves, path, title, max_rank)
    elif cv2.haveImageWriter(path.name):
        canvas.save_image(path, draw_cmc(curves, title=title, max_rank=max_rank))
    else:
        requirement = "end in .png, .jpg, .svg or .pdf"
        raise ArgumentError("plot_cmc", "path", requirement, repr(path.name))


def _plot(curves: Mapping[str, np.ndarray], path: Path, title: str, max_rank: int) -> None:
    rates = read_curves("plot_cmc", curves, max_rank)
    figure, axes = figures.new_figure("plot_cmc", path)
    for i, (name, rate) in enumerate(rates.items()):
        color = figures.COLORS[i % len(figures.COLORS)]
        style = "-" if i < len(figures.COLORS) else "--"
        # The number is first because matplotlib leaves labels that start with "_" out.
        label = f"{100 * rate[0]:.1f} %  {figures.plain(name)}"
        axes.plot(np.arange(1, len(rate) + 1), 100 * rate, style, color=color, label=label)
    axes.set(xlabel="rank", ylabel="matching rate in %", title=figures.plain(title))
    axes.set_xticks(rank_ticks(max(len(rate) for rate in rates.values())))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, fontsize="small", title="rank-1")
    figures.save(figure, path)
