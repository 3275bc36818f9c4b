"""Evaluations in several threads: the same bits, and torch's settings as the user left them."""

import threading

import pytest
import torch

from reid_ext import evaluate
from reid_ext.evaluation.compute import Products

METRICS = ["cosine", "euclidean"]


@pytest.fixture
def lowered():
    """Torch's precision of float32 products on the CPU, as a user may lower it."""
    backend = torch.backends.mkldnn.matmul
    before = backend.fp32_precision
    backend.fp32_precision = "bf16"
    yield backend
    backend.fp32_precision = before


def problem(dtype=torch.float32):
    torch.manual_seed(0)
    labels = {
        "query_ids": torch.randint(0, 30, (300,)),
        "gallery_ids": torch.randint(-1, 30, (5000,)),
        "query_cameras": torch.randint(0, 3, (300,)),
        "gallery_cameras": torch.randint(0, 3, (5000,)),
    }
    return (torch.randn(300, 96).to(dtype), torch.randn(5000, 96).to(dtype)), labels


def precisions(given, metric, **options):
    features, labels = given
    return evaluate(*features, **labels, metric=metric, **options).average_precision


@pytest.mark.parametrize("compute", ["exact", "bf16"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("metric", METRICS)
def test_number_of_threads_changes_no_bit(metric, dtype, compute):
    if compute == "bf16" and dtype == torch.float64:
        pytest.skip("float64 is exact alone")
    before = torch.get_num_threads()
    try:
        got = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            got.append(precisions(problem(dtype), metric, compute=compute))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(*got, rtol=0, atol=0, equal_nan=True)


def test_evaluations_at_once_give_what_one_gives(lowered):
    given = problem()  # made once: torch's generator is one for all threads too
    want = {metric: precisions(given, metric) for metric in METRICS}
    got = []

    def work(metric):
        got.append((metric, precisions(given, metric)))

    threads = [threading.Thread(target=work, args=(metric,)) for metric in METRICS * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 6
    for metric, values in got:
        torch.testing.assert_close(values, want[metric], rtol=0, atol=0, equal_nan=True)
    assert lowered.fp32_precision == "bf16"


def test_setting_lasts_until_its_last_user_leaves(lowered):
    first, second = Products().setting(), Products().setting()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert lowered.fp32_precision == "ieee"
    second.__exit__(None, None, None)
    assert lowered.fp32_precision == "bf16"


def test_other_setting_waits_until_the_first_is_over(lowered):
    entered = threading.Event()

    def other():
        with Products(precision="tf32").setting():
            entered.set()

    thread = threading.Thread(target=other)
    with Products().setting():
        thread.start()
        assert not entered.wait(0.1) and torch.backends.cuda.matmul.fp32_precision == "ieee"
    thread.join()
    assert entered.is_set() and lowered.fp32_precision == "bf16"


def test_setting_is_put_back_after_an_error(lowered):
    with pytest.raises(KeyError), Products().setting():
        raise KeyError
    assert lowered.fp32_precision == "bf16"


def test_blocks_are_made_under_the_users_settings(lowered):
    features, labels = problem()
    seen = []

    class Made:
        def __iter__(self):
            for block in features[1].split(2000):
                seen.append(lowered.fp32_precision)
                yield block

    evaluate(features[0], Made(), **labels)
    assert seen == ["bf16"] * 6
