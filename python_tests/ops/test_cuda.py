"""Tests that require a GPU: streams, CUDA graphs, threads and memory."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from cuda_cases import (
    DIM,
    OPS,
    WAITS,
    WITH_GRADIENT,
    batch,
    modules,
    rank_block,
    stream_block,
    with_gradient,
)

from reid_ext import ops

pytestmark = pytest.mark.parametrize("device", ["cuda"], indirect=True)
every_op = pytest.mark.parametrize("name", OPS)
MIB = 2**20


def results(name, x, labels):
    """Return the result of an op, and its gradient if it is differentiable."""
    if name in WITH_GRADIENT:
        return with_gradient(OPS[name], x, labels)
    return (OPS[name](x, labels),)


def same_bits(got, want):
    torch.testing.assert_close(got, want, rtol=0, atol=0, equal_nan=True)


@every_op
def test_ops_are_bit_identical_in_two_runs(name, device):
    x, labels = batch(device)
    same_bits(results(name, x, labels), results(name, x, labels))


@every_op
def test_ops_run_on_the_current_stream(name, device):
    """The inputs are ready on the side stream only; a kernel on another stream reads zeros."""
    x, labels = batch(device)
    want = results(name, x, labels)
    late, side = torch.zeros_like(x), torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(50_000_000)
        late.copy_(x)
        got = results(name, late, labels)
    side.synchronize()
    same_bits(got, want)


def captured(run, warm_up=3):
    """Return a CUDA graph of ``run`` and its output, which every replay overwrites."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(warm_up):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = run()
    return graph, out


def check_replay(run, x):
    """Check that the replay of a graph uses the values of ``x`` at that time."""
    graph, out = captured(run)
    x.copy_(x.roll(1, 0))
    want = [t.clone() for t in run()]
    for t in out:
        t.fill_(7)
    graph.replay()
    same_bits([t.clone() for t in out], want)


@pytest.mark.parametrize("name", [name for name in OPS if name not in WAITS])
def test_op_and_gradient_replay_in_a_cuda_graph(name, device):
    x, labels = batch(device)
    check_replay(lambda: results(name, x, labels), x)


@pytest.mark.parametrize("name", modules("cpu"))
def test_loss_and_gradient_replay_in_a_cuda_graph(name, device):
    x, labels = batch(device)
    loss = modules(device)[name]
    check_replay(lambda: with_gradient(loss, x, labels), x)


def test_ops_are_thread_safe(device):
    """Every thread has its own stream and batch and calls all ops many times."""
    batches = [batch(device) for _ in range(4)]
    want = [[results(name, *b) for name in OPS] for b in batches]
    torch.cuda.synchronize()

    def caller(k):
        with torch.cuda.stream(torch.cuda.Stream()):
            for _ in range(5):
                got = [results(name, *batches[k]) for name in OPS]
            torch.cuda.current_stream().synchronize()
        return got

    with ThreadPoolExecutor(len(batches)) as pool:
        got = list(pool.map(caller, range(len(batches))))
    same_bits(got, want)


@every_op
def test_ops_release_their_memory(name, device):
    x, labels = batch(device)
    results(name, x, labels)  # libraries allocate their workspaces in the first call
    before = torch.cuda.memory_allocated()
    for _ in range(10):
        results(name, x, labels)
    assert torch.cuda.memory_allocated() == before


def peak(run):
    """Return the peak of additional memory in MiB."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / MIB


@pytest.mark.parametrize("name", ["expat", "fidi", "mining"])
def test_losses_store_no_matrix_for_a_large_batch(name, device):
    """An N x N matrix for 16,384 rows takes 1024 MiB. The gradient takes 32 MiB."""
    x = torch.randn(16_384, 512, device=device)
    labels = torch.arange(len(x), device=device) // 4
    results(name, x[:1024], labels[:1024])
    assert peak(lambda: results(name, x, labels)) <= 200


def test_evaluate_stores_one_block_of_distances(device):
    """All distances take 512 MiB. A block takes 64 MiB, or 32 MiB for a streamed gallery."""
    query = torch.randn(4096, DIM, device=device)
    gallery = torch.randn(32_768, DIM, device=device)
    for name in ("ranking", "streaming"):
        results(name, *batch(device))
    for limit, run in [(72, rank_block), (40, stream_block)]:
        assert peak(lambda run=run: run(query, gallery)) <= limit


def test_ops_work_after_running_out_of_memory(device):
    x, _ = batch(device)
    want, free = ops.cosine_matrix(x), torch.cuda.mem_get_info()[0]
    rows = int((free / 4) ** 0.5 * 1.5)  # their matrix is 2.25 times the free memory
    many = torch.ones(rows, 1, device=device)
    before = torch.cuda.memory_allocated()
    with pytest.raises(RuntimeError):  # also the base class of torch.OutOfMemoryError
        ops.cosine_matrix(many)
    assert torch.cuda.memory_allocated() == before
    same_bits(ops.cosine_matrix(x), want)
