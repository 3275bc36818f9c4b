"""Figures by matplotlib: every format, reproducible bytes, and the errors."""

import re
import sys

import cv2
import numpy as np
import pytest

from reid_ext import viz

pytest.importorskip("matplotlib")
RANDOM = np.random.default_rng(0)
PLOTS = {
    "angles": (viz.plot_angles, [RANDOM.uniform(0, 1, 50), RANDOM.uniform(1, 2, 90)]),
    "average_precision": (viz.plot_average_precision, [{"a": RANDOM.uniform(0, 1, 30)}]),
    "embedding": (viz.plot_embedding, [RANDOM.standard_normal((40, 2)), np.arange(40) % 9]),
    "camera_pairs": (viz.plot_camera_pairs, [np.eye(2, 3), [1, 2], ["a", "b", "c"]]),
}


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.parametrize(
    "suffix", [".png", *(pytest.param(s, marks=pytest.mark.slow) for s in (".svg", ".pdf"))]
)
def test_plot_writes_the_same_bytes_each_time(name, suffix, tmp_path):
    plot, given = PLOTS[name]
    paths = [tmp_path / f"{i}{suffix}" for i in range(2)]
    for path in paths:
        plot(*given, path, title="Market-1501")
    first, second = (path.read_bytes() for path in paths)
    assert first == second and sorted(tmp_path.iterdir()) == paths
    if suffix == ".png":
        image = cv2.imread(str(paths[0]))
        assert image.shape == (800, 1200, 3) and image.std() > 10
    if suffix == ".svg":
        assert b"<svg" in first and b"</svg>" in first


def test_plots_show_names_as_written(tmp_path):
    name = "_a$^{"  # neither hidden nor a formula, as names like these are to matplotlib
    names = [name, "$b$"]
    viz.plot_angles([0.1, 0.2], [1.0, 1.1], tmp_path / "angles.svg", title=name)
    viz.plot_average_precision({name: [0.5], "$b$": [1]}, tmp_path / "precision.svg", title=name)
    viz.plot_embedding(np.eye(2), names, tmp_path / "embedding.svg", title=name)
    viz.plot_camera_pairs(np.eye(2), names, names, tmp_path / "cameras.svg", title=name)
    for path, count in (("angles", 1), ("precision", 2), ("embedding", 2), ("cameras", 3)):
        text = (tmp_path / f"{path}.svg").read_text().replace("\\$", "$")
        assert len(re.findall(rf"<!-- .*{re.escape(name)} -->", text)) == count


def test_plot_leaves_out_missing_values(tmp_path):
    ap = np.array([0.2, np.nan, 0.4])
    viz.plot_average_precision({"a": ap}, tmp_path / "with.svg")
    viz.plot_average_precision({"a": ap[[0, 2]]}, tmp_path / "without.svg")
    assert (tmp_path / "with.svg").read_bytes() == (tmp_path / "without.svg").read_bytes()
    viz.plot_camera_pairs(np.full((1, 1), np.nan), [1], [1], tmp_path / "none.png")


@pytest.mark.parametrize(
    "plot, given, message",
    [
        (viz.plot_angles, [[], [1.0]], r"plot_angles: positive must .* got shape \(0,\)"),
        (viz.plot_angles, [[1.0], [90.0]], "negative must .* values from 90 to 90"),
        (viz.plot_average_precision, [{}], "values must contain at least one run, got an empty"),
        (viz.plot_average_precision, [{"a": [55.0]}], r"values\['a'\] must .* \[0, 1\], got .* 55"),
        (viz.plot_embedding, [np.ones((3, 3)), [1, 2, 3]], r"points must have shape \(N, 2\)"),
        (viz.plot_embedding, [np.ones((3, 2)), [1, 2]], r"labels must have shape \(3,\), got"),
        (viz.plot_camera_pairs, [np.ones((2, 2)), [1], [1, 2]], r"rates must have shape \(1, 2\)"),
        (viz.plot_camera_pairs, [[[2.0]], [1], [1]], "rates must .* values from 2 to 2"),
    ],
)
def test_plot_raises_for_wrong_values(plot, given, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        plot(*given, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_plot_raises_for_a_wrong_path(tmp_path):
    plot, given = PLOTS["angles"]
    with pytest.raises(ValueError, match=r"plot_angles: path must end in \.png, \.svg, \.pdf, got"):
        plot(*given, tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError, match="path must be in a folder that exists"):
        plot(*given, tmp_path / "missing" / "a.png")


def test_plot_error_shows_how_to_install_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    plot, given = PLOTS["angles"]
    needs = r'plot_angles: figures need matplotlib, .* pip install "reid_ext\[viz\]"'
    with pytest.raises(ImportError, match=needs):
        plot(*given, tmp_path / "a.png")


def test_need_matplotlib_raises_when_it_is_missing(monkeypatch):
    viz.need_matplotlib("f")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="f: figures need matplotlib, which is not installed"):
        viz.need_matplotlib("f")


@pytest.mark.parametrize("count, others", [(28, None), (300, "272 other labels")])
def test_plot_embedding_tells_labels_apart_and_counts_the_others(count, others, tmp_path):
    labels = np.repeat(np.arange(count), 2)
    labels = np.append(labels, [count - 1])  # the last label is the most frequent one
    path = tmp_path / "map.svg"
    viz.plot_embedding(RANDOM.standard_normal((len(labels), 2)), labels, path)
    words = re.findall(r"<!-- (.*?) -->", path.read_text())
    named = list(range(28)) if others is None else [*range(27), 299]
    assert words == [*([others] if others else []), *map(str, named)]


def test_plot_embedding_shows_nan_as_one_label(tmp_path):
    path = tmp_path / "map.svg"
    viz.plot_embedding(np.eye(3, 2), [1.5, np.nan, np.nan], path)
    assert re.findall(r"<!-- (.*?) -->", path.read_text()) == ["1.5", "nan"]
