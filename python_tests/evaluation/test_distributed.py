"""Losses, norms, batches and evaluation in several processes, compared with one process."""

from itertools import chain

import processes
import pytest
import torch
from torch import nn

from reid_ext import data, distributed, evaluate, losses
from reid_ext.models.neck import build_neck

N, DIM = 24, 6


def va(**options):
    return losses.ViewpointAwareLoss(6, DIM, num_views=2, **options)


def drawn(**options):
    """Random triplets, the same in every process for the same seed."""
    generator = torch.Generator().manual_seed(4)
    return losses.ExpATLoss(mining="random", generator=generator, **options)


LOSSES = {  # name: constructor, and its arguments besides features and labels
    "expat": (losses.ExpATLoss, ()),
    "expat, released": (lambda: losses.ExpATLoss(aggregation="exp_of_mean"), ()),
    "expat, weighted directions": (
        lambda: losses.ExpATLoss(alpha=0.7, beta=1.2, margin=0.5),
        ("modalities",),
    ),
    "expat, directions, released": (
        lambda: losses.ExpATLoss(aggregation="exp_of_mean"),
        ("modalities",),
    ),
    "expat, random": (drawn, ()),
    "expat, random directions": (lambda: drawn(aggregation="exp_of_mean"), ("modalities",)),
    "fidi": (losses.FIDILoss, ()),
    "fidi, normalised": (lambda: losses.FIDILoss(normalize=True), ()),
    "triplet": (lambda: losses.TripletLoss(margin=0.3), ()),
    "triplet, cosine": (lambda: losses.TripletLoss(margin=0.3, metric="cosine"), ()),
    "soft triplet": (lambda: losses.TripletLoss(margin=None), ()),
    "contrastive": (losses.ContrastiveLoss, ()),
    "circle": (losses.CircleLoss, ()),
    "multi-similarity": (losses.MultiSimilarityLoss, ()),
    "center": (lambda: losses.CenterLoss(6, DIM), ()),
    "viewpoint": (va, ("views",)),
    "viewpoint, released": (
        lambda: va(labels="fixed", regularisation="euclidean"),
        ("views",),
    ),
}
WORLDS = [(2, False), (3, True), (4, False)]


def batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, 5, generator=generator, dtype=torch.float64)
    either = torch.arange(N) // 6 % 2
    return {"x": x, "labels": torch.arange(N) % 6, "modalities": either, "views": 1 - either}


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, DIM), nn.BatchNorm1d(DIM), nn.Linear(DIM, DIM)).double()


def share(world_size, rank, empty):
    """Parts of different size; the last process has no rows if ``empty``."""
    ends = [0, *(N * (r + 1) ** 2 // world_size**2 for r in range(world_size))]
    if empty:
        ends = [0, *ends[2:], N]
    return slice(ends[rank], ends[rank + 1])


def gradients(name, rows, model):
    """The value of the loss, and the gradients of the model and of the loss."""
    torch.manual_seed(2)
    build, more = LOSSES[name]
    loss, given = build().double(), {key: value[rows] for key, value in batch().items()}
    wrapped = distributed.GlobalBatchLoss(loss)
    value = wrapped(model(given["x"]), given["labels"], *(given[key] for key in more))
    value.backward()
    of_model = [p.grad for p in model.parameters()]
    return value.detach(), of_model, [p.grad for p in loss.parameters()]


def all_of_one_launch(rank, world_size, empty):
    """The gradients and norm statistics of each loss, and the shares of batches."""
    rows, out = share(world_size, rank, empty), {}
    for name in LOSSES:
        model = nn.parallel.DistributedDataParallel(distributed.convert_norms(network()))
        norm = model.module[1]
        out[name] = [*gradients(name, rows, model), [norm.running_mean, norm.running_var]]
    out["batches"] = plain(distributed.ShareOfBatches(batches()))
    out["norm of images"] = norm_of_images(rank, world_size)
    out["evaluated"] = evaluated(rank, world_size)
    return out


@pytest.fixture(scope="module", params=WORLDS, ids=["2", "3, one without rows", "4"])
def in_processes(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return processes.run(all_of_one_launch, request.param[0], folder, *request.param)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_equal_those_of_one_process(name, in_processes):
    model = network()
    value, grads, own = gradients(name, slice(None), model)
    assert value > 0 and all(g.abs().sum() > 0 for g in grads[-2:])
    running = [model[1].running_mean, model[1].running_var]
    for got in (result[name] for result in in_processes):
        torch.testing.assert_close(got[0], value, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(got[1], grads, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(got[2], own, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(got[3], running)


def test_functions_work_without_a_process_group():
    x, labels = batch()["x"], batch()["labels"]
    loss = losses.TripletLoss()
    assert distributed.GlobalBatchLoss(loss)(x, labels) == loss(x, labels)
    assert distributed.gather_rows(x) is x
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    one, other = network(), distributed.convert_norms(network())
    torch.testing.assert_close(one(x), other(x))
    assert one.state_dict().keys() == other.state_dict().keys()
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one.eval()(x), other.eval()(x))
    modalities = torch.arange(len(x)) % 2
    neck = build_neck("per_modality", x.shape[1]).to(x.dtype)
    want = neck(x, modalities)
    neck = distributed.convert_norms(nn.ModuleList([build_neck("per_modality", x.shape[1])]))[0]
    torch.testing.assert_close(neck.to(x.dtype)(x, modalities), want)


def test_norm_raises_without_a_momentum():
    with pytest.raises(ValueError, match="norm must have a momentum, got momentum=None"):
        distributed.GlobalBatchNorm(nn.BatchNorm1d(3, momentum=None))


def images_and_norm():
    torch.manual_seed(3)
    images = torch.randn(7, 3, 4, 5, dtype=torch.float64)
    plain = nn.BatchNorm2d(3, affine=False, track_running_stats=False)
    return images, nn.Sequential(nn.BatchNorm2d(3), plain).double()


def norm_of_images(rank, world_size):
    """The gradient of this process's images, which are distributed round-robin."""
    images, norm = images_and_norm()
    mine = images[rank::world_size].requires_grad_()
    distributed.convert_norms(norm)(mine).square().mul(torch.arange(5.0)).sum().backward()
    return mine.grad


def test_norm_of_images_has_gradient_of_whole_batch(in_processes):
    images, norm = images_and_norm()
    norm(images.requires_grad_()).square().mul(torch.arange(5.0)).sum().backward()
    for rank, result in enumerate(in_processes):
        want = images.grad[rank :: len(in_processes)]
        torch.testing.assert_close(result["norm of images"], want)


# --- batches --------------------------------------------------------------------------------


def batches():
    samples = [data.Sample(f"{i}.jpg", i % 7, 1, None, 0) for i in range(70)]
    return data.IdentityBatches(samples, 5, 3, seed=4)


def plain(of_batches):
    return [[list(map(int, key)) for key in keys] for keys in of_batches]


def test_batches_do_not_depend_on_number_of_processes(in_processes):
    shares = [result["batches"] for result in in_processes]
    whole = plain(batches())
    assert [list(chain(*parts)) for parts in zip(*shares, strict=True)] == whole
    lengths = {len(part) for parts in shares for part in parts}
    assert max(lengths) - min(lengths) <= 1


# --- evaluation -----------------------------------------------------------------------------


def gallery(dtype=torch.float32):
    generator = torch.Generator().manual_seed(5)

    def draw(low, high, *shape):
        return torch.randint(low, high, shape, generator=generator)

    labels = {
        "query_ids": draw(0, 9, 31),
        "gallery_ids": draw(-1, 11, 257),
        "query_cameras": draw(0, 3, 31),
        "gallery_cameras": draw(0, 3, 257),
    }
    return draw(-2, 3, 31, 4).to(dtype), draw(-2, 3, 257, 4).to(dtype), labels


def rows_of(rank, world_size, how):
    """The queries and images of a process, and the row arguments that it passes."""
    if how == "dealt":  # as by a sampler that pads with duplicate images
        rows = [torch.arange(rank, n + (-n) % world_size, world_size) % n for n in (31, 257)]
        return rows, {"query_rows": rows[0], "gallery_rows": rows[1]}
    parts = world_size - 1  # in order; the last process has no rows
    return [
        torch.arange(*(min(n, n * r // parts) for r in (rank, rank + 1))) for n in (31, 257)
    ], {}


CASES = [(how, dtype) for how in ("dealt", "in order") for dtype in ("float32", "float64")]


def evaluated(rank, world_size):
    out = []
    for how, dtype in CASES:
        query, images, labels = gallery(getattr(torch, dtype))
        rows, more = rows_of(rank, world_size, how)
        of = {"query": rows[0], "gallery": rows[1]}
        mine = {name: values[of[name.split("_")[0]]] for name, values in labels.items()}
        got = distributed.evaluate(
            query[rows[0]], images[rows[1]], **mine, **more, metric="euclidean"
        )
        out.append([got.average_precision, got.first_match, got.cmc, str(got.protocol)])
    return out


def test_evaluate_ranks_equal_those_of_one_process(in_processes):
    results = [result["evaluated"] for result in in_processes]
    for case, (_, dtype) in enumerate(CASES):
        query, images, labels = gallery(getattr(torch, dtype))
        want = evaluate(query, images, **labels, metric="euclidean")
        assert want.average_precision.isfinite().sum() > 10
        for got in (result[case] for result in results):
            assert torch.equal(got[0].nan_to_num(), want.average_precision.nan_to_num())
            assert torch.equal(got[1].nan_to_num(), want.first_match.nan_to_num())
            assert torch.equal(got[2], want.cmc) and got[3] == str(want.protocol)


def test_evaluate_works_without_a_process_group():
    query, images, labels = gallery()
    got = distributed.evaluate(query, images, **labels)
    want = evaluate(query, images, **labels)
    assert torch.equal(got.cmc, want.cmc) and got.mAP == want.mAP


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"query_ids": [1]}, r"query_ids must have shape \(31,\)"),
        ({"gallery_rows": torch.ones(257)}, "gallery_rows must be integers"),
        ({"metric": "dot"}, "metric must be one of"),
        ({"query": [[1.0]]}, "query_ids must have shape"),
    ],
)
def test_evaluate_raises_for_invalid_arguments(changed, message):
    query, images, labels = gallery()
    given = {"query": query, "gallery": images} | labels | changed
    with pytest.raises(ValueError, match=f"distributed.evaluate: {message}"):
        distributed.evaluate(given.pop("query"), given.pop("gallery"), **given)
