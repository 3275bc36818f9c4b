"""Conversion of samples to columns of a feature set."""

from pathlib import Path

import pytest

from reid_ext import data


def test_columns_contain_all_labels():
    samples = [
        data.Sample(Path("a.jpg"), 3, 1, view=2),
        data.Sample(Path("b.jpg"), 4, 2, modality=data.INFRARED),
    ]
    assert data.columns(samples) == {
        "identities": [3, 4],
        "cameras": [1, 2],
        "views": [2, -1],
        "modalities": [0, 1],
        "paths": [str(Path("a.jpg").resolve()), str(Path("b.jpg").resolve())],
    }


def test_columns_have_image_numbers_for_sysu(tmp_path):
    root = data.synthesize("sysu-mm01", tmp_path, preset="tiny")
    samples = data.load("sysu-mm01", root).gallery
    assert data.columns(samples, "sysu-mm01")["images"] == data.sysu.image_numbers(samples)
    assert "images" not in data.columns(samples, "market1501")
    with pytest.raises(ValueError, match=r"data\.columns: name must be one of"):
        data.columns(samples, "imagenet")
