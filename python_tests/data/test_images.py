"""Decoding and transforms of images."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from images_cases import MEAN, H, W, everything, normalised, picture, same, write

from reid_ext import data
from reid_ext.data.image_size import number_of_pixels

PLAIN = {"flip": 0, "pad": (0, 0), "erase": 0}


# --- decoding ------


def test_decode_returns_rgb(tmp_path):
    rgb = picture()
    np.testing.assert_array_equal(data.decode(write(tmp_path / "a.png", rgb)), rgb)
    jpeg = data.decode(write(tmp_path / "a.jpg", rgb, cv2.IMWRITE_JPEG_QUALITY, 100))
    assert np.abs(jpeg.astype(int) - rgb).mean() < 8


@pytest.mark.parametrize("name", ["Straße 東京.png", "a b%20'c'.png", "-x.png"])
def test_decode_reads_unusual_file_names(tmp_path, name):
    np.testing.assert_array_equal(data.decode(write(tmp_path / name, picture())), picture())


def decoded(folder, suffix, stored):
    path = folder / f"image{suffix}"
    path.write_bytes(cv2.imencode(suffix, stored)[1].tobytes())
    return data.decode(path)


def test_decode_converts_grey_images(tmp_path):
    gray = picture()[..., 0]
    np.testing.assert_array_equal(decoded(tmp_path, ".png", gray), np.dstack([gray] * 3))


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".webp"])
def test_decode_blends_transparent_pixels_with_black(suffix, tmp_path):
    stored = np.full((4, 4, 4), (40, 80, 200, 255), np.uint8)  # blue, green, red, opacity
    stored[0, :, 3], stored[1, :, 3] = 0, 128
    image = decoded(tmp_path, suffix, stored)
    assert image[0].max() == 0
    np.testing.assert_allclose(image[1, 0], (100, 40, 20), atol=2)
    np.testing.assert_allclose(image[2:], np.broadcast_to((200, 80, 40), (2, 4, 3)), atol=8)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_decode_scales_16_bit_images_to_their_range(suffix, channels, tmp_path):
    thermal = np.arange(7200, 7200 + 2 * 256, 2, np.uint16).reshape(16, 16)
    image = decoded(tmp_path, suffix, np.dstack([thermal] * channels))
    assert image.shape == (16, 16, 3)
    np.testing.assert_array_equal(image[..., 1].ravel(), np.arange(256))


def test_decode_scales_floating_point_images(tmp_path):
    celsius = np.linspace(20, 37, 256, dtype=np.float32).reshape(16, 16)
    celsius[0, :2] = np.nan, np.inf
    image = decoded(tmp_path, ".tiff", celsius)
    assert image[0, 0, 0] == 0 and image[0, 1, 0] == image[-1, -1, 0] == 255
    assert len(np.unique(image)) > 200


def test_decode_of_constant_16_bit_image_is_black(tmp_path):
    assert decoded(tmp_path, ".png", np.full((4, 4), 7200, np.uint16)).max() == 0


@pytest.mark.parametrize("kind, options", [("P", {}), ("P", {"transparency": 0}), ("CMYK", {})])
def test_decode_converts_palette_and_cmyk_images(kind, options, tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    rgb = np.zeros((16, 16, 3), np.uint8)
    rgb[8:] = 255, 0, 51
    path = tmp_path / ("a.png" if kind == "P" else "a.jpg")
    pillow.fromarray(rgb).convert(kind).save(path, **options)
    image = data.decode(path)
    np.testing.assert_allclose(image[-1, -1], (255, 0, 51), atol=4)
    assert image[0, 0].max() <= 4


def test_decode_applies_exif_orientation(tmp_path):
    content = write(tmp_path / "a.jpg", picture()).read_bytes()
    tiff = b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    marker = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "turned.jpg").write_bytes(content[:2] + marker + content[2:])
    image = data.decode(tmp_path / "turned.jpg")
    assert image.shape == (W, H, 3)  # orientation 6: a quarter turn clockwise
    np.testing.assert_array_equal(image, np.rot90(data.decode(tmp_path / "a.jpg"), -1))


def test_decode_ignores_bytes_after_the_end_of_a_jpeg(tmp_path):
    path = write(tmp_path / "a.jpg", picture())
    expected = data.decode(path)
    path.write_bytes(path.read_bytes() + bytes(200))
    np.testing.assert_array_equal(data.decode(path), expected)


@pytest.mark.parametrize("keep", [0, 1, 100, -30, -2])
def test_decode_raises_for_truncated_jpeg(tmp_path, keep):
    path = write(tmp_path / "cut.jpg", picture(0, 96, 48))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        ValueError, match=r"image that decodes, got .*cut\.jpg .*copy the file again"
    ):
        data.decode(path)


@pytest.mark.parametrize("content", [b"no image", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_decode_raises_for_file_that_is_not_an_image(tmp_path, content):
    path = tmp_path / "0001.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"image that decodes, got .*0001\.jpg"):
        data.decode(path)


def test_decode_raises_for_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg, which does not exist"):
        data.decode(tmp_path / "nowhere.jpg")


def test_decode_raises_when_opencv_rejects_the_size(tmp_path):
    (tmp_path / "0001.jpg").write_bytes(b"P6 40000 40000 255\n")
    with pytest.raises(ValueError, match=r"image that decodes, got .*0001\.jpg"):
        data.decode(tmp_path / "0001.jpg")


@pytest.mark.parametrize("between", [b"\xff", b"\xff\x01", b"\xff\xd0", b"\xff\0", b"no marker"])
def test_number_of_pixels_skips_bytes_between_jpeg_markers(between, tmp_path):
    content = write(tmp_path / "a.jpg", picture()).read_bytes()
    frame = content.index(b"\xff\xc0")
    (tmp_path / "b.jpg").write_bytes(content[:frame] + between + content[frame:])
    np.testing.assert_array_equal(data.decode(tmp_path / "b.jpg"), data.decode(tmp_path / "a.jpg"))
    assert number_of_pixels((tmp_path / "b.jpg").read_bytes()) == H * W


def test_decode_reads_os_2_bmp(tmp_path):
    rgb = picture()
    rows = rgb[::-1, :, ::-1].tobytes()
    header = struct.pack("<2sIIIIHHHH", b"BM", 26 + len(rows), 0, 26, 12, W, H, 1, 24)
    (tmp_path / "a.bmp").write_bytes(header + rows)
    np.testing.assert_array_equal(data.decode(tmp_path / "a.bmp"), rgb)


def test_evaluation_transform_normalises():
    image = picture()
    out = data.EvaluationTransform((H, W))(image)
    assert (out.dtype, out.shape, out.is_contiguous()) == (torch.float32, (3, H, W), True)
    same(out, normalised(image))


def test_evaluation_transform_averages_areas_when_halving():
    image = picture(0, 3 * H, 2 * W)
    blocks = image.reshape(H, 3, W, 2, 3).mean((1, 3)).round()
    out = data.EvaluationTransform((H, W))(image)
    # cv2 may round a half the other way: one byte.
    torch.testing.assert_close(out, normalised(blocks), rtol=0, atol=1 / 255 / 0.224 + 1e-6)


def test_evaluation_transform_interpolates_otherwise():
    ramp = np.linspace(0, 255, 40).round().astype(np.uint8)
    image = np.broadcast_to(ramp[:, None, None], (40, W, 3)).copy()
    rows = data.EvaluationTransform((30, W), (0, 0, 0), (1, 1, 1))(image)[0, :, 0] * 255
    expected = np.interp((np.arange(30) + 0.5) * 40 / 30 - 0.5, np.arange(40), ramp)
    np.testing.assert_allclose(rows, expected, atol=1)


def test_training_transform_without_randomness_is_evaluation():
    image, rng = picture(), np.random.default_rng(0)
    same(data.TrainingTransform((H, W), **PLAIN)(image, rng), normalised(image))


def test_training_transform_flips():
    transform = data.TrainingTransform((H, W), **{**PLAIN, "flip": 1})
    same(transform(picture(), np.random.default_rng(0)), normalised(picture()[:, ::-1]))


def test_training_transform_shifts_and_fills_with_the_mean():
    image = picture()
    mean = (MEAN * 255).round()
    padded = np.full((H + 2 * 3, W + 2 * 2, 3), mean)
    padded[3 : 3 + H, 2 : 2 + W] = image
    windows = {
        (top, left): normalised(padded[top : top + H, left : left + W])
        for top in range(7)
        for left in range(5)
    }
    transform = data.TrainingTransform((H, W), **{**PLAIN, "pad": (3, 2)})
    seen = set()
    for seed in range(300):
        out = transform(image, np.random.default_rng(seed))
        found = [at for at, window in windows.items() if torch.allclose(out, window, atol=1e-5)]
        assert len(found) == 1
        seen.update(found)
    assert len(seen) == 7 * 5


def test_training_transform_erases_one_rectangle():
    height, width = 96, 48
    image = np.full((height, width, 3), 255, np.uint8)
    transform = data.TrainingTransform((height, width), **{**PLAIN, "erase": 1})
    shares = []
    for seed in range(200):
        gone = (transform(image, np.random.default_rng(seed)) == 0).all(0).numpy()
        rows, columns = np.flatnonzero(gone.any(1)), np.flatnonzero(gone.any(0))
        h, w = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert gone.sum() == h * w
        assert 0.25 < h / w < 4
        shares.append(h * w / gone.size)
    assert 0.015 < min(shares) < 0.05
    assert 0.3 < max(shares) < 0.41


def test_training_transform_mixes_channels():
    image = picture()
    transform = data.TrainingTransform((H, W), **PLAIN, mix=1, mean=(0, 0, 0), std=(1, 1, 1))
    results = [transform(image, np.random.default_rng(seed)) * 255 for seed in range(20)]
    for out in results:
        assert torch.equal(out[0], out[1])
        assert torch.equal(out[0], out[2])
        flat = image.reshape(-1, 3).astype(np.float64)
        weights, *_ = np.linalg.lstsq(flat, out[0].numpy().ravel(), rcond=None)
        assert weights.min() > -1e-4
        np.testing.assert_allclose(weights.sum(), 1, atol=1e-4)
        np.testing.assert_allclose(flat @ weights, out[0].numpy().ravel(), atol=1e-3)
    assert not torch.equal(results[0], results[1])


def test_mixing_does_not_change_grey_images():
    gray = np.repeat(picture()[..., :1], 3, axis=2)
    transform = data.TrainingTransform((H, W), **PLAIN, mix=1)
    # Three weights in float32 add up to one within a few units in the last place.
    out = transform(gray, np.random.default_rng(0))
    torch.testing.assert_close(out, normalised(gray), rtol=0, atol=5e-6)


def test_light_has_one_gain_and_one_offset():
    transform = data.TrainingTransform((H, W), **PLAIN, gain=0.2, offset=0.3)
    plain, gains, offsets = normalised(picture()).ravel(), [], []
    for seed in range(300):
        out = transform(picture(), np.random.default_rng(seed)).ravel()
        gain, offset = np.polyfit(plain, out, 1)
        torch.testing.assert_close(out, (plain * gain + offset).float(), rtol=0, atol=1e-5)
        gains.append(np.log(gain))
        offsets.append(offset)
    for values, spread in ((gains, 0.2), (offsets, 0.3)):
        assert abs(np.mean(values)) < 0.25 * spread
        assert 0.85 * spread < np.std(values) < 1.15 * spread


def test_transform_does_not_modify_the_image():
    image = picture()
    for seed in range(20):
        everything()(image, np.random.default_rng(seed))
    np.testing.assert_array_equal(image, picture())


@pytest.mark.parametrize(
    "argument, value",
    [
        ("size", (0, 12)),
        ("size", (24,)),
        ("flip", 1.5),
        ("erase", -0.1),
        ("mix", float("nan")),
        ("gain", -1),
        ("offset", float("inf")),
        ("pad", (24, 0)),
        ("pad", (-1, 0)),
        ("mean", (0.5,)),
        ("std", (1, 1, 0)),
    ],
)
def test_transform_raises_for_invalid_setting(argument, value):
    with pytest.raises(ValueError, match=f"TrainingTransform: {argument} must"):
        data.TrainingTransform(**{"size": (H, W), argument: value})


# --- labels -----


def test_relabel_sorts_identities():
    samples = [data.Sample(Path("x"), identity, 1) for identity in (9, 4, 9, 1001)]
    assert data.relabel(samples) == {4: 0, 9: 1, 1001: 2}
