"""Batches of images: loaders with worker processes, caches and resuming."""

import multiprocessing
import os
import signal
import socket
from multiprocessing import resource_sharer

import cv2
import pytest
import torch
from images_cases import H, W, everything, normalised, picture, same, write

from reid_ext import data
from reid_ext.data import loading


@pytest.fixture
def samples(tmp_path):
    """Twelve images of three identities in both modalities, in two sizes."""
    found = []
    for n in range(12):
        size = (H, W) if n % 3 else (2 * H + 5, 2 * W + 3)
        path = write(tmp_path / f"{n:04d}.png", picture(n, *size))
        found.append(data.Sample(path, 7 + n // 4, 1 + n % 6, None, n % 2))
    return found


def message_of_first_error(batches):
    """The message; pytest.raises would keep the traceback, and with it the workers, alive."""
    try:
        list(batches)
    except ValueError as error:
        return str(error)


class WhatTheWorkerIs:
    """Returns facts of the worker: process, whether it ignores Ctrl-C, and numbers of threads."""

    size = (1, 1)

    def __call__(self, image, rng):
        ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        return torch.tensor([os.getpid(), ignored, cv2.getNumThreads(), torch.get_num_threads()])


def test_images_are_deterministic_for_a_seed(samples):
    images = data.Images(samples, everything())
    results = [images[3, seed][0] for seed in range(10)]
    for seed in reversed(range(10)):
        assert torch.equal(images[3, seed][0], results[seed])
    assert not any(torch.equal(results[0], other) for other in results[1:])


def test_item_has_image_and_labels(samples):
    images = data.Images(samples, data.EvaluationTransform((H, W)))
    assert len(images) == 12
    image, *facts = images[5, 0]
    assert facts == [8, 6, 1, -1, 5]
    same(image, normalised(picture(5)))


def test_images_replace_identities_by_labels(samples):
    images = data.Images(samples, everything(), labels=data.relabel(samples))
    assert [images[index, 0][1] for index in (0, 4, 11)] == [0, 1, 2]


def test_images_raise_for_identity_without_label(samples):
    with pytest.raises(
        ValueError, match=r"labels must have a label for every identity.*identity 9 of .*png"
    ):
        data.Images(samples, everything(), labels={7: 0, 8: 1})


def test_images_raise_for_unknown_part(samples):
    parts = "'whole', 'top', 'middle', 'bottom'"
    with pytest.raises(ValueError, match=f"Images: part must be one of {parts}, got 'left'"):
        data.Images(samples, everything(), part="left")


def test_cache_returns_the_same_items_without_files(samples):
    plain = data.Images(samples, everything())
    expected = [plain[index, index] for index in range(12)]
    cached = data.Images(samples, everything(), cache=True)
    for sample in samples:
        sample.path.unlink()
    for _ in range(2):
        for index in range(12):
            assert torch.equal(cached[index, index][0], expected[index][0])
            assert cached[index, index][1:] == expected[index][1:]


def test_cache_raises_at_once_for_broken_image(samples):
    samples[9].path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"0009\.png"):
        data.Images(samples, everything(), cache=True)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("cache", [False, True])
def test_batches_do_not_depend_on_workers(samples, workers, cache):
    def run(workers, cache):
        images = data.Images(samples, everything(), labels=data.relabel(samples), cache=cache)
        sampler = data.TwoModalityBatches(samples, 2, 2, batches=4, seed=1)
        loader = data.loader(images, sampler, workers=workers)
        assert len(loader) == 4
        return [batch for _ in range(2) for batch in loader]

    for one, many in zip(run(0, False), run(workers, cache), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, many, strict=True))


def test_batch_has_documented_fields(samples):
    images = data.Images(samples, data.EvaluationTransform((H, W)))
    batches = list(data.loader(images, data.SequentialBatches(12, 5)))
    assert [len(batch.images) for batch in batches] == [5, 5, 2]
    assert batches[0].images.shape == (5, 3, H, W)
    for field, position in (("labels", 1), ("cameras", 2), ("modalities", 4)):
        column = torch.cat([getattr(batch, field) for batch in batches])
        assert column.dtype == torch.int64
        assert column.tolist() == [sample[position] for sample in samples]
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(12))


@pytest.mark.parametrize("workers", [0, 2])
def test_sampler_resumes_after_last_returned_batch(samples, workers):
    def build():
        sampler = data.IdentityBatches(samples, 2, 2, batches=9, seed=1)
        images = data.Images(samples, data.EvaluationTransform((H, W)))
        return sampler, data.loader(images, sampler, workers=workers)

    _, loader = build()
    expected = [batch.indices.tolist() for _ in range(2) for batch in loader]

    sampler, loader = build()
    for count, batch in enumerate(loader, start=1):
        assert batch.indices.tolist() == expected[count - 1]
        assert sampler.state_dict()["batch"] == count
        if count == 4:
            break
    state = sampler.state_dict()
    sampler, loader = build()
    sampler.load_state_dict(state)
    rest = [batch.indices.tolist() for _ in range(2) for batch in loader]
    assert rest == expected[4:]
    assert (sampler.epoch, sampler.batch) == (2, 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_continues_interrupted_epoch(samples, workers):
    sampler = data.IdentityBatches(samples, 2, 2, batches=9, seed=1)
    expected = [[index for index, _ in batch] for batch in sampler]
    sampler.set_epoch(0)
    loader = data.loader(data.Images(samples, everything()), sampler, workers=workers)
    first = next(iter(loader)).indices.tolist()
    assert [first] + [batch.indices.tolist() for batch in loader] == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_raises_one_line_for_broken_image(samples, workers):
    samples[7].path.write_bytes(b"no image")
    images = data.Images(samples, data.EvaluationTransform((H, W)))
    message = message_of_first_error(
        data.loader(images, data.SequentialBatches(12, 3), workers=workers)
    )
    assert "0007.png" in message
    assert "\n" not in message


def test_workers_ignore_interrupts_and_use_one_thread(samples):
    images = data.Images(samples, WhatTheWorkerIs())
    loader = data.loader(images, data.SequentialBatches(12, 3), workers=2)
    first, second = (torch.cat([batch.images for batch in loader]) for _ in range(2))
    assert (first[:, 1:] == 1).all()
    assert os.getpid() not in first[:, 0]
    assert torch.equal(first, second), "the second epoch used other processes"


def hand_over(connection):
    """Send a file descriptor as a worker does to send tensors."""
    loading._prepare_worker(0)
    connection.send(resource_sharer.DupFd(os.pipe()[0]))
    connection.recv()


def test_worker_is_silent_when_main_process_ends(capfd):
    ours, theirs = multiprocessing.Pipe()
    worker = multiprocessing.get_context("fork").Process(target=hand_over, args=(theirs,))
    worker.start()
    file = ours.recv()
    with socket.socket(socket.AF_UNIX) as left:
        left.connect(file._id[0])  # closes the connection without a message
    os.close(file.detach())  # wait until the worker has handled the closed connection
    ours.send("done")
    worker.join()
    assert worker.exitcode == 0 and capfd.readouterr().err == ""


def test_worker_prints_other_errors(capsys):
    loading._say_unless_left(OSError, OSError("disk"), None)
    assert "OSError: disk" in capsys.readouterr().err


def test_loader_raises_for_negative_workers(samples):
    with pytest.raises(ValueError, match="loader: workers must be an integer >= 0, got -1"):
        data.loader(data.Images(samples, everything()), data.SequentialBatches(12, 3), workers=-1)
