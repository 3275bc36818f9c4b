"""The pixel cache: correct pixels, and a new file after a change of an image or of the file."""

import errno
import multiprocessing
import os
import pickle

import cv2
import numpy as np
import pytest
import torch

from reid_ext import data
from reid_ext.data import pixel_cache

SIZE = (24, 12)
TRANSFORM = data.TrainingTransform(SIZE, pad=(3, 2), mix=0.5, gain=0.2, offset=0.2)


def write(path, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (30, 14, 3), np.uint8)
    cv2.imwrite(str(path), picture)


@pytest.fixture
def samples(tmp_path):
    found = [data.Sample(tmp_path / "images" / f"{i}.png", 7 + i // 4, 1) for i in range(8)]
    found[0].path.parent.mkdir()
    for i, sample in enumerate(found):
        write(sample.path, i)
    return found


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "some" / "cache"


def batches(samples, cache, workers=0, **options):
    images = data.Images(samples, TRANSFORM, cache=cache)
    sampler = data.IdentityBatches(samples, 2, 3, batches=4, seed=1)
    return list(data.loader(images, sampler, workers=workers, **options))


def same(one, other):
    pairs = [ab for xy in zip(one, other, strict=True) for ab in zip(*xy, strict=True)]
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("workers", [0, 2])
def test_cache_does_not_change_batches(samples, folder, workers):
    plain = batches(samples, False)
    assert same(plain, batches(samples, folder, workers))
    assert same(plain, batches(samples, str(folder), workers)) and len(list(folder.iterdir())) == 1


def test_second_run_opens_no_image(samples, folder, monkeypatch):
    first = batches(samples, folder)
    monkeypatch.setattr(pixel_cache, "decode", None)
    assert same(first, batches(samples, folder))


@pytest.mark.parametrize("what", ["size", "time", "other images", "other size"])
def test_change_of_images_creates_another_file(samples, folder, what):
    batches(samples, folder)
    transform = TRANSFORM
    if what == "size":
        write(samples[3].path, 99)
        with open(samples[3].path, "ab") as file:
            file.write(b"more")
    elif what == "time":
        status = samples[3].path.stat()
        write(samples[3].path, 99)
        os.utime(samples[3].path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    elif what == "other images":
        samples = samples[::-1]
    else:
        transform = data.EvaluationTransform((12, 12))
    cached = data.Images(samples, transform, cache=folder)
    plain = data.Images(samples, transform)
    for index in range(8):
        assert torch.equal(cached[index, index][0], plain[index, index][0])
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("kept", [0, 100])
def test_truncated_file_is_written_again(samples, folder, kept):
    plain = batches(samples, folder)
    (file,) = folder.iterdir()
    os.truncate(file, kept)
    assert same(plain, batches(samples, folder))
    assert file.stat().st_size == 8 * 24 * 12 * 3


@pytest.mark.parametrize("fault", ["broken", "missing"])
def test_cache_leaves_no_file_when_image_is_broken(samples, folder, fault):
    if fault == "broken":
        samples[5].path.write_bytes(b"no image")
    else:
        samples[5].path.unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=r"decode: path must be .*5\.png"):
        batches(samples, folder)
    assert not folder.exists() or list(folder.iterdir()) == []


def test_cache_leaves_no_file_when_interrupted(samples, folder, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pixel_cache.os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        batches(samples, folder)
    assert list(folder.iterdir()) == []


def _make(paths, folder, ready, queue):
    ready.wait()
    pixels = pixel_cache.InFile(paths, SIZE, folder)
    queue.put(int(sum(int(pixels[i].sum()) for i in range(len(paths)))))


def test_cache_reserves_disk_space_first(samples, folder, monkeypatch):
    paths, seen = [str(sample.path) for sample in samples], []

    def look(*_):
        (part,) = folder.iterdir()
        seen.append(part.stat().st_blocks * 512)
        raise OSError

    monkeypatch.setattr(pixel_cache, "_read_all", look)
    with pytest.raises(OSError):
        pixel_cache.InFile(paths, SIZE, folder)
    assert seen[0] >= len(paths) * SIZE[0] * SIZE[1] * 3


def test_cache_raises_when_disk_is_full(samples, folder, monkeypatch):
    def no_room(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pixel_cache.os, "posix_fallocate", no_room)
    with pytest.raises(OSError, match=r"cache must be a path that can be written, got .*No space"):
        pixel_cache.InFile([str(sample.path) for sample in samples], SIZE, folder)
    assert list(folder.iterdir()) == []


def test_concurrent_processes_write_one_file(samples, folder):
    paths = [str(sample.path) for sample in samples]
    context = multiprocessing.get_context("fork")
    ready, queue = context.Barrier(3), context.Queue()
    processes = [
        context.Process(target=_make, args=(paths, folder, ready, queue)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    sums = {queue.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    pixels = pixel_cache.InMemory(paths, SIZE)
    assert sums == {int(pixels.pixels.to(torch.int64).sum())}
    assert len(list(folder.iterdir())) == 1


def test_pickled_cache_maps_the_file_again(samples, folder):
    pixels = pixel_cache.InFile([str(sample.path) for sample in samples], SIZE, folder)
    content = pickle.dumps(pixels)
    assert len(content) < 1000
    for index in range(8):
        np.testing.assert_array_equal(pickle.loads(content)[index], pixels[index])


def test_cached_pixels_are_read_only(samples, folder):
    pixels = pixel_cache.InFile([str(sample.path) for sample in samples], SIZE, folder)
    with pytest.raises(ValueError, match="read-only"):
        pixels[0][0] = 0
