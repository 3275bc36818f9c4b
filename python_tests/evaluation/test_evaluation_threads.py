"""Threads and precision settings of torch: no effect on results, and restored afterwards."""

import threading

import numpy as np
import pytest
import torch

from reid_ext import evaluate, evaluation
from reid_ext._runtime.precision import precision

METRICS = ["cosine", "euclidean"]


@pytest.fixture
def lowered():
    """Lower torch's precision of float32 products on the CPU, as a user may do."""
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


@pytest.mark.slow
@pytest.mark.parametrize("compute", ["exact", "bf16"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("metric", METRICS)
def test_result_does_not_depend_on_number_of_threads(metric, dtype, compute):
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


def test_concurrent_evaluations_give_equal_results(lowered):
    given = problem()  # made once, because all threads share torch's generator
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


def test_precision_is_kept_until_its_last_user_leaves(lowered):
    first, second = precision("exact"), precision("exact")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert lowered.fp32_precision == "ieee"
    second.__exit__(None, None, None)
    assert lowered.fp32_precision == "bf16"


def test_second_precision_waits_for_the_first(lowered):
    entered = threading.Event()

    def other():
        with precision("tf32"):
            entered.set()

    thread = threading.Thread(target=other)
    with precision("exact"):
        thread.start()
        assert not entered.wait(0.1) and torch.backends.cuda.matmul.fp32_precision == "ieee"
    thread.join()
    assert entered.is_set() and lowered.fp32_precision == "bf16"


def test_precision_is_restored_after_an_error(lowered):
    with pytest.raises(KeyError), precision("exact"):
        raise KeyError
    assert lowered.fp32_precision == "bf16"


def test_blocks_are_made_with_the_users_precision(lowered):
    features, labels = problem()
    seen = []

    class Made:
        def __iter__(self):
            for block in features[1].split(2000):
                seen.append(lowered.fp32_precision)
                yield block

    evaluate(features[0], Made(), **labels)
    assert seen == ["bf16"] * 6


@pytest.fixture
def other_device():
    """Another default device of torch, as with torch.set_default_device("cuda")."""
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


def test_evaluate_ignores_default_device_of_torch(other_device):
    rng = np.random.default_rng(0)
    features = [rng.standard_normal((n, 8)) for n in (6, 40)]
    labels = {"query_ids": range(6), "gallery_ids": [*range(5)] * 8}
    cameras = {"query_cameras": [3] * 6, "gallery_cameras": [1, 2, 4, 5] * 10}
    ranking = evaluation.evaluate(*features, **labels, **cameras)
    results = [
        ranking.mAP,
        ranking.mAP_at(),
        evaluation.bootstrap(ranking, resamples=3).mAP.high,
        evaluation.evaluate(*features, **labels, **cameras, protocol="cuhk03-classic").mAP,
        evaluation.evaluate_single_shot(rng.random((6, 40)), **labels, **cameras, draws=3).rank(50),
        evaluation.evaluate_sysu(*features, **labels, **cameras, trials=2).mAP,
        evaluation.evaluate_regdb(*features, **labels).mAP,
        evaluation.verify(*features, **labels, **cameras).true_positive_rate[-1],
        evaluation.evaluate(features[0], [features[1]], **labels, protocol="generic").mAP,
        evaluation.evaluate(*(x.astype(np.float32) for x in features), **labels, **cameras).mAP,
        evaluation.evaluate(*features, **labels, **cameras, rerank={"method": "gnn"}).mAP,
        evaluation.evaluate_sampled_gallery(features[1], ids=labels["gallery_ids"]).mAP,
        evaluation.evaluate_viewpoint(
            features[1],
            ids=labels["gallery_ids"],
            cameras=cameras["gallery_cameras"],
            views=[0] * 20 + [1] * 20,
            view=0,
        ).mAP,
    ]
    assert all(0 < float(value) <= 1 for value in results)
