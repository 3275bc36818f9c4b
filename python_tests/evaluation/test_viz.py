"""Figures: positions and colours, atomic writing, and all error messages."""

import os

import cv2
import numpy as np
import pytest

from reid_ext import viz
from reid_ext.viz.cmc import COLORS
from reid_ext.viz.ranked_list import BORDER, QUERY, RIGHT, WRONG


def has(image, color):
    return (image == np.array(color, np.uint8)).all(-1).any()


def read(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def curve(first, length=20):
    return 1 - (1 - first) * np.exp(-0.2 * np.arange(length))


def test_cmc_draws_every_curve_in_its_colour():
    image = viz.draw_cmc({"a": curve(0.3), "b": curve(0.6, 5)}, title="title")
    assert image.dtype == np.uint8 and image.shape == (1000, 1600, 3)
    assert has(image, COLORS[0]) and has(image, COLORS[1]) and not has(image, COLORS[2])


@pytest.mark.parametrize("name", ["", "x" * 200])
@pytest.mark.parametrize("rates", [[0.0], [1.0], [0.5] * 200, [0.25, 1.0]])
def test_cmc_draws_any_length_and_level(rates, name):
    curves = {f"{name}{i}": rates for i in range(9)}
    image = viz.draw_cmc(curves, max_rank=100, title=name)
    assert has(image, COLORS[0])


def test_cmc_draws_a_higher_curve_higher():
    image = viz.draw_cmc({"low": curve(0.3), "high": curve(0.8)})[:, :900]  # without legend
    low, high = (np.argwhere((image == COLORS[i]).all(-1))[:, 0].mean() for i in (0, 1))
    assert high < low


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_plot_cmc_writes_a_picture_and_nothing_else(tmp_path, suffix):
    path = tmp_path / f"cmc{suffix}"
    for _ in range(2):  # the second time over an existing file
        viz.plot_cmc({"a": curve(0.3)}, path)
    assert read(path).shape == (1000, 1600, 3)
    assert list(tmp_path.iterdir()) == [path]


def test_plot_cmc_writes_vector_graphics(tmp_path):
    pytest.importorskip("matplotlib")
    curves = {"a": [0.25, 0.5, 1.0], "_b$^{": [0.5, 1.0], "$c$": [0.75]}
    for name, start in (("a.svg", b"<?xml"), ("b.PDF", b"%PDF")):
        viz.plot_cmc(curves, tmp_path / name, title="title")
        assert (tmp_path / name).read_bytes().startswith(start)
    said = (tmp_path / "a.svg").read_text()
    labels = ("25.0 %  a", "50.0 %  _b$^{", "75.0 %  $c$", "title")
    assert all(f"<!-- {label} -->" in said.replace("\\$", "$") for label in labels)


@pytest.mark.parametrize("name", ["cmc.docx", "cmc", "cmc.eps"])
def test_plot_cmc_raises_for_other_suffixes(name, tmp_path):
    message = rf"plot_cmc: path must end in .png, .jpg, .svg or .pdf, got '{name}'"
    with pytest.raises(ValueError, match=message):
        viz.plot_cmc({"a": [0.5]}, tmp_path / name)


@pytest.mark.parametrize(
    "curves, message",
    [
        ({}, "curves must contain at least one curve, got an empty mapping"),
        ({"a": []}, r"curves\['a'\] must be a non-empty array of shape \(N,\) .* got shape \(0,\)"),
        ({"a": [[0.5]]}, r"curves\['a'\] .* got shape \(1, 1\)"),
        ({"a": [51.5, 60]}, r"curves\['a'\] .* got .* with values from 51.5 to 60"),
        ({"a": [float("nan")]}, r"curves\['a'\] .* with values from nan to nan"),
    ],
)
def test_draw_cmc_raises_for_invalid_curves(curves, message):
    with pytest.raises(ValueError, match=f"^draw_cmc: {message}"):
        viz.draw_cmc(curves)


def people(*shapes):
    return [np.full(shape, 130, np.uint8) for shape in shapes]


def test_ranked_list_draws_a_border_per_verdict():
    queries = people((40, 20), (30, 80, 3))
    galleries = [people((40, 20, 3), (9, 7)), people((300, 90, 3))]
    sheet = viz.draw_ranked_list(queries, galleries, [[True, True], [True]])
    assert has(sheet, QUERY) and has(sheet, RIGHT) and not has(sheet, WRONG)
    sheet = viz.draw_ranked_list(queries, galleries, [[False, False], [np.bool_(False)]])
    assert has(sheet, WRONG) and not has(sheet, RIGHT)


def test_ranked_list_shows_images_whole_and_undistorted():
    image = np.zeros((20, 40, 3), np.uint8)
    image[:] = (10, 200, 90)
    sheet = viz.draw_ranked_list([image], [[]], [[]], height=80)
    y, x = np.nonzero((sheet == image[0, 0]).all(-1))
    assert (np.ptp(x) + 1, np.ptp(y) + 1) == (40, 20)
    y, x = np.nonzero((sheet == QUERY).all(-1) & (np.arange(len(sheet)) > 60)[:, None])
    assert np.ptp(x) + 1 == 40 + 2 * BORDER


def test_ranked_list_takes_captions_and_title():
    queries, galleries = people((40, 20)), [people((40, 20), (40, 20))]
    plain = viz.draw_ranked_list(queries, galleries, [[True, False]])
    words = viz.draw_ranked_list(
        queries,
        galleries,
        [[True, False]],
        query_captions=["id 1\ncam 3"],
        gallery_captions=[["id 1", "id 2 with a caption longer than its cell"]],
        title="SYSU-MM01",
    )
    assert words.shape[0] > plain.shape[0] and words.shape[1] == plain.shape[1]


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"queries": []}, "queries must contain at least one image"),
        ({"galleries": []}, "galleries must have length 1 like queries, got 0"),
        ({"verdicts": [[True]]}, r"verdicts\[0\] must have length 2 like galleries\[0\], got 1"),
        ({"query_captions": []}, "query_captions must have length 1 like"),
        ({"gallery_captions": [["a"]]}, r"gallery_captions\[0\] must have length 2"),
        ({"queries": [np.ones((4, 2))]}, r"queries\[0\] must be a uint8 array .*, got float64"),
        ({"galleries": [people((4, 2), (3, 4, 2))]}, r"galleries\[0\]\[1\] .*\(3, 4, 2\)"),
    ],
)
def test_ranked_list_raises_for_wrong_arguments(changed, message):
    given = {
        "queries": people((4, 2)),
        "galleries": [people((4, 2), (4, 2))],
        "verdicts": [[True, False]],
    }
    with pytest.raises(ValueError, match=f"^draw_ranked_list: {message}"):
        viz.draw_ranked_list(**{**given, **changed})


def test_save_image_keeps_rgb_and_gray(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    viz.save_image(tmp_path / "rgb.png", image)
    viz.save_image(str(tmp_path / "gray.png"), image[..., 0])
    assert (read(tmp_path / "rgb.png") == image).all()
    assert (cv2.imread(str(tmp_path / "gray.png"), cv2.IMREAD_GRAYSCALE) == image[..., 0]).all()


def test_save_image_keeps_the_old_file_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        viz.save_image(path, np.zeros((2, 2), np.uint8))
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_save_image_raises_for_wrong_arguments(tmp_path):
    gray = np.zeros((2, 2), np.uint8)
    with pytest.raises(ValueError, match=r"save_image: path must end in \.png or \.jpg, got 'a'"):
        viz.save_image(tmp_path / "a", gray)
    with pytest.raises(FileNotFoundError, match=r"folder that exists, got .*; make .*missing"):
        viz.save_image(tmp_path / "missing" / "a.png", gray)
    with pytest.raises(ValueError, match="image must be a uint8"):
        viz.save_image(tmp_path / "a.png", gray.astype(int))
    with pytest.raises(ValueError, match="image must be a uint8 array of shape"):
        viz.save_image(tmp_path / "a.png", [[0, 255]])
