"""Figures for papers from plain arrays, with matplotlib; the suffix selects PNG, SVG or PDF."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reid_ext._runtime.arguments import ArgumentError
from reid_ext._runtime.writing import whole_file
from reid_ext.viz import canvas
from reid_ext.viz.cmc import COLORS as RGB

COLORS = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in RGB]
OTHER = "#c4c8ce"  # labels without a colour of their own
ENDINGS = (".png", ".svg", ".pdf")
# Markers of gallery images and of queries; the next pair follows when all colours are used.
MARKERS = (("o", "^"), ("s", "v"), ("D", "<"), ("P", ">"))
MOST_IN_LEGEND = len(COLORS) * len(MARKERS)
DPI = 200


def plot_angles(
    positive: np.ndarray, negative: np.ndarray, path: str | Path, *, title: str = "", bins: int = 90
) -> None:
    """Write histograms of the angles within identities and between identities.

    Args:
        positive: Angles of pairs with the same identity, shape (P,), radians in [0, pi].
        negative: Angles of pairs with different identities, shape (M,), radians in [0, pi].
        path: Path of the file, ending in .png, .svg or .pdf, in an existing folder.
        title: Title above the axes. Default: no title.
        bins: Number of bins over [0, pi], so that figures of different runs have the same axis.
            Default: 90.

    Raises:
        ArgumentError: If an array is empty, a shape or range is invalid, or the suffix is not
            supported.
        FileNotFoundError: If the folder does not exist.
        ImportError: If matplotlib is not installed.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from reid_ext import viz
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "angles.svg")
        ...     viz.plot_angles([0.2, 0.4], [1.4, 1.6], path)
        ...     path.exists()
        True
    """
    pairs = {"positive": positive, "negative": negative}
    degrees = {
        name: np.rad2deg(canvas.read_fractions("plot_angles", name, angles, most=np.pi))
        for name, angles in pairs.items()
    }
    figure, axes = new_figure("plot_angles", path)
    edges = np.linspace(0, 180, bins + 1)
    names = ("same identity", "different identities")
    for name, values, color in zip(names, degrees.values(), COLORS, strict=False):
        label = f"{name}, median {np.median(values):.0f}°"
        share = np.full(len(values), 100 / len(values))
        axes.hist(values, edges, weights=share, color=color, alpha=0.25)
        axes.hist(values, edges, weights=share, color=color, histtype="step", label=label, lw=1.6)
    axes.set(xlabel="angle in degrees", ylabel="share of pairs in %", xlim=(0, 180))
    axes.set_xticks(range(0, 181, 30))
    axes.set_title(plain(title), pad=24)
    # above the axes, because bars may be anywhere inside
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)
    save(figure, path)


def plot_average_precision(
    values: Mapping[str, np.ndarray], path: str | Path, *, title: str = "", bins: int = 20
) -> None:
    """Write histograms of the average precision of queries, one outline per run.

    Args:
        values: Mapping from names to the average precision of the queries, shape (Q,), fractions.
            NaN values are left out.
        path: As in :func:`plot_angles`.
        title: Title above the axes. Default: no title.
        bins: Number of bins over [0, 1]. Default: 20.

    Raises:
        ArgumentError: If there is no run, a shape or range is invalid, or the suffix is not
            supported.
        FileNotFoundError: If the folder does not exist.
        ImportError: If matplotlib is not installed.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from reid_ext import viz
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "ap.svg")
        ...     viz.plot_average_precision({"ours": [0.5, 1.0]}, path)
        ...     path.exists()
        True
    """
    where = "plot_average_precision"
    if not values:
        raise ArgumentError(where, "values", "contain at least one run", "an empty mapping")
    shown = {}
    for name, ap in values.items():
        argument = f"values[{name!r}]"
        valid = canvas.as_numbers(where, argument, ap)
        shown[name] = canvas.read_fractions(where, argument, valid[~np.isnan(valid)])
    figure, axes = new_figure(where, path)
    edges = np.linspace(0, 100, bins + 1)
    for i, (name, ap) in enumerate(shown.items()):
        color, share = COLORS[i % len(COLORS)], np.full(len(ap), 100 / len(ap))
        # The number is first because matplotlib leaves labels that start with "_" out.
        label = f"{100 * ap.mean():.1f} %  {plain(name)}"
        axes.hist(100 * ap, edges, weights=share, color=color, alpha=0.15)
        axes.hist(100 * ap, edges, weights=share, color=color, histtype="step", label=label, lw=1.6)
    axes.set(xlabel="average precision in %", ylabel="share of queries in %", title=plain(title))
    axes.set_xlim(0, 100)
    axes.legend(frameon=False, title="mAP")
    save(figure, path)


def plot_embedding(
    points: np.ndarray,
    labels: np.ndarray,
    path: str | Path,
    *,
    is_query: np.ndarray | None = None,
    title: str = "",
) -> None:
    """Write a map of features that were projected to the plane, coloured by label.

    Args:
        points: Positions of shape (N, 2), such as principal components.
        labels: Labels of shape (N,), such as identities or cameras. Each has its own pair of
            colour and marker. With more than 28 labels, the 28 most frequent have one; the others
            are gray, and the legend says how many they are.
        path: As in :func:`plot_angles`.
        is_query: Bool array of shape (N,). Queries are drawn as triangles, gallery images with
            other markers. Default: None, no queries.
        title: Title above the axes. Default: no title.

    Raises:
        ArgumentError: If a shape is invalid, points are not finite, or the suffix is not supported.
        FileNotFoundError: If the folder does not exist.
        ImportError: If matplotlib is not installed.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from reid_ext import viz
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "map.svg")
        ...     viz.plot_embedding([[0.0, 0.0], [1.0, 1.0]], [1, 2], path)
        ...     path.exists()
        True
    """
    where = "plot_embedding"
    xy, labels = canvas.as_numbers(where, "points", points), np.asarray(labels)
    if xy.ndim != 2 or xy.shape[1] != 2 or not len(xy) or not np.isfinite(xy).all():
        got = f"shape {xy.shape}"
        raise ArgumentError(where, "points", "have shape (N, 2) and be finite", got)
    triangles = np.zeros(len(xy), bool) if is_query is None else np.asarray(is_query, bool)
    for name, array in (("labels", labels), ("is_query", triangles)):
        if array.shape != (len(xy),):
            raise ArgumentError(where, name, f"have shape ({len(xy)},)", str(array.shape))
    figure, axes = new_figure(where, path)
    names, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    named = np.sort(np.argsort(-counts, kind="stable")[:MOST_IN_LEGEND])
    groups = [
        (index == k, plain(str(names[k])), COLORS[i % len(COLORS)], MARKERS[i // len(COLORS)])
        for i, k in enumerate(named)
    ]
    if others := len(names) - len(named):
        groups.insert(0, (~np.isin(index, named), f"{others} other labels", OTHER, MARKERS[0]))
    handles = []
    for of_label, _, color, markers in groups:
        sides = of_label & ~triangles, of_label & triangles
        drawn = [
            axes.scatter(*xy[rows].T, s=16, c=color, marker=marker, linewidths=0)
            for marker, rows in zip(markers, sides, strict=True)
            if rows.any()
        ]
        handles.append(drawn[0])
    axes.set(xticks=[], yticks=[], title=plain(title))
    axes.legend(
        handles,
        [words for _, words, *_ in groups],
        frameon=False,
        fontsize="small",
        bbox_to_anchor=(1, 1),
        loc="upper left",
        ncol=1 + (len(groups) > len(COLORS) * 2),
    )
    save(figure, path)


def plot_camera_pairs(
    rates: np.ndarray,
    query_cameras: Sequence[int | str],
    gallery_cameras: Sequence[int | str],
    path: str | Path,
    *,
    title: str = "",
) -> None:
    """Write a matrix of a metric by camera of the query (rows) and of the gallery (columns).

    Args:
        rates: Values of shape (query cameras, gallery cameras), fractions in [0, 1]. NaN leaves a
            cell empty.
        query_cameras: Names of the rows.
        gallery_cameras: Names of the columns.
        path: As in :func:`plot_angles`.
        title: Title above the axes. Default: no title.

    Raises:
        ArgumentError: If a shape or range is invalid, or the suffix is not supported.
        FileNotFoundError: If the folder does not exist.
        ImportError: If matplotlib is not installed.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from reid_ext import viz
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "cameras.svg")
        ...     viz.plot_camera_pairs([[float("nan"), 0.5], [0.7, 0.9]], [1, 2], [1, 2], path)
        ...     path.exists()
        True
    """
    where = "plot_camera_pairs"
    values = canvas.as_numbers(where, "rates", rates)
    shape = len(query_cameras), len(gallery_cameras)
    if values.shape != shape or not values.size:
        raise ArgumentError(where, "rates", f"have shape {shape}", str(values.shape))
    if (~np.isnan(values)).any():
        canvas.read_fractions(where, "rates", values[~np.isnan(values)])
    figure, axes = new_figure(where, path)
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*shape):
        value = values[row, column]
        words = "" if np.isnan(value) else f"{100 * value:.0f}"
        color = "white" if value > 0.6 else "black"
        axes.text(column, row, words, ha="center", va="center", color=color, fontsize="small")
    axes.set_xticks(range(shape[1]), [plain(str(c)) for c in gallery_cameras])
    axes.set_yticks(range(shape[0]), [plain(str(c)) for c in query_cameras])
    axes.set(xlabel="camera of the gallery", ylabel="camera of the query", title=plain(title))
    axes.spines[:].set_visible(False)
    save(figure, path)


def new_figure(where: str, path: str | Path) -> tuple[Any, Any]:
    """Return an empty figure after checking the path. pyplot and its global state are not used."""
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise ArgumentError(where, "path", f"end in {', '.join(ENDINGS)}", repr(path.name))
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{where}: path must be in a folder that exists, got {path}; make {path.parent}"
        )
    need_matplotlib(where)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def need_matplotlib(where: str) -> None:
    """Raise ImportError with the installation command if matplotlib is missing.

    Args:
        where: Function that needs matplotlib, for the error message.

    Raises:
        ImportError: If matplotlib is not installed.

    Examples:
        >>> from reid_ext import viz
        >>> viz.need_matplotlib("my_figure")  # raises nothing: matplotlib is installed
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise ImportError(
            f"{where}: figures need matplotlib, which is not installed; "
            'install it with pip install "reid_ext[viz]"'
        ) from None


def plain(text: str) -> str:
    """Return the text with dollar signs that matplotlib does not read as formulas."""
    return text.replace("$", r"\$")


def save(figure: Any, path: str | Path) -> None:
    """Write the file atomically. The same figure always gives the same bytes."""
    from matplotlib import rc_context

    path = Path(path)
    dateless = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    metadata = dateless[path.suffix.lower()]
    with whole_file(path) as part, rc_context({"svg.hashsalt": "reid_ext"}):
        figure.savefig(part, dpi=DPI, metadata=metadata)
