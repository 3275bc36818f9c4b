"""Schedules, objectives, optimisers and the training loop on a toy problem."""

import math
import os
import signal
import sys
import threading
from dataclasses import replace

import pytest
import torch
from squares import IDENTITIES, TINY, Squares, batches, rank1, run
from torch.nn import functional as F

from reid_ext import ArgumentError, models, training
from reid_ext.losses import ExpATLoss, TripletLoss
from reid_ext.training.extraction import embed
from reid_ext.training.interrupt import interrupts_deferred, termination_as_interrupt
from reid_ext.training.log import ScalarLog
from reid_ext.training.precision import Precision
from reid_ext.training.schedule import learning_rate_factor, ramp, set_learning_rates


@pytest.mark.parametrize(
    "iteration, factor",
    [(0, 1 / 3), (250, 2 / 3), (499, 0.99867), (500, 1), (9_999, 1), (10_000, 0.1), (20_000, 0.01)],
)
def test_multi_step_schedule_matches_the_paper(iteration, factor):
    assert learning_rate_factor(training.SYSU, iteration) == pytest.approx(factor, rel=1e-5)


@pytest.mark.parametrize(
    "iteration, factor",
    # iteration 5 is in the middle of the warm-up: (1 + cos(pi / 20)) / 2 = 0.9938442
    [(0, 0.1), (5, 0.55 * (0.01 + 0.99 * 0.9938442)), (50, 0.505), (100, 0.01)],
)
def test_cosine_schedule_matches_the_formula(iteration, factor):
    recipe = replace(TINY, iterations=100, warmup=10, warmup_start=0.1, decay=0.01)
    assert learning_rate_factor(recipe, iteration) == pytest.approx(factor)


def test_schedule_raises_for_an_unknown_name():
    with pytest.raises(ValueError, match="schedule must be one of 'multi_step', 'cosine', got 's'"):
        learning_rate_factor(replace(TINY, schedule="s"), 0)


@pytest.mark.parametrize(
    "iteration, weight", [(0, 0), (60, 0), (61, 1 / 140), (130, 0.5), (199, 139 / 140), (200, 1)]
)
def test_metric_ramp_grows_linearly(iteration, weight):
    assert ramp(replace(TINY, metric_ramp=(60, 200)), iteration) == pytest.approx(weight)


def test_metric_loss_has_full_weight_without_a_ramp():
    assert ramp(training.SYSU, 0) == 1.0


def test_optimizer_has_a_separate_group_for_biases():
    model = models.TwoStream("small", 3)
    goal = training.build_objective("softmax", training.SYSU, model)
    optimizer = training.build_optimizer(model, goal, training.SYSU)
    others, biases = optimizer.param_groups
    assert (others["lr"], others["weight_decay"]) == (3e-4, 5e-4)
    assert (biases["lr"], biases["weight_decay"]) == (6e-4, 0)
    names = {id(p): name for name, p in model.named_parameters()}
    assert all("bias" in names[id(p)] for p in biases["params"])
    assert not any("bias" in names[id(p)] for p in others["params"])
    trained = {names[id(p)] for p in others["params"] + biases["params"]}
    assert names.keys() and trained == set(names.values()) - {"neck.bias"}
    set_learning_rates(optimizer, 0.5)
    assert (others["lr"], biases["lr"]) == (1.5e-4, 3e-4)


def test_sysu_recipe_has_the_batch_size_of_the_paper():
    assert training.SYSU.batch_size == 48


@pytest.mark.parametrize("name", ["softmax", "bnneck", "expat"])
def test_objective_is_identity_plus_weighted_metric_loss(name):
    recipe = replace(TINY, label_smoothing=0.1, id_weight=2.0, metric_weight=3.0, expat_weight=3.0)
    model = models.TwoStream("small", 4)
    labels, modalities = torch.tensor([0, 0, 1, 1] * 2), torch.tensor([0] * 4 + [1] * 4)
    embedding = model(torch.rand(8, 3, 48, 24), modalities)
    identity = F.cross_entropy(model.classifier(embedding.features), labels, label_smoothing=0.1)
    metric = {
        "softmax": lambda: torch.tensor(0.0),
        "bnneck": lambda: TripletLoss()(embedding.pooled, labels),
        "expat": lambda: ExpATLoss()(embedding.features, labels, modalities),
    }[name]()
    for iteration, weight in ((0, 0.0), (20, 3.0)):
        goal = training.build_objective(name, recipe, model)
        losses = goal(embedding, training.Targets(labels, modalities, labels), iteration)
        torch.testing.assert_close(losses.total, 2 * identity + weight * metric)
        assert (
            losses.parts.keys()
            == {"softmax": {"id"}, "bnneck": {"id", "triplet"}, "expat": {"id", "expat"}}[name]
        )
        assert not any(part.requires_grad for part in losses.parts.values())


def test_va_objective_uses_the_classifier_as_identity_centres():
    model = models.TwoStream("small", 4)
    present = torch.tensor([[True, True, False]] * 4)
    goal = training.build_objective("va", TINY, model, present)
    loss = goal.losses[0]["va"]
    assert loss.identity_weight is model.classifier.weight
    assert torch.equal(loss.present, present)
    optimizer = training.build_optimizer(model, goal, TINY)
    trained = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert trained.count(id(model.classifier.weight)) == 1 and id(loss.view_weight) in trained


def test_centres_step_with_the_unweighted_gradient():
    recipe = replace(TINY, center_weight=5e-4, center_learning_rate=0.5)
    model = models.TwoStream("small", 4)
    goal = training.build_objective("expat_center", recipe, model)
    optimizer = training.Optimizers(model, goal, recipe)
    labels, modalities = torch.tensor([0, 0, 1, 1] * 2), torch.tensor([0] * 4 + [1] * 4)
    embedding = model(torch.rand(8, 3, 48, 24), modalities)
    centers = goal.center_losses[0].centers
    before = centers.detach().clone()
    squares = (embedding.features.detach() - before[labels]).square().sum() / 8
    losses = goal(embedding, training.Targets(labels, modalities, labels), iteration=100)
    torch.testing.assert_close(losses.parts["center"], squares)
    losses.total.backward()
    optimizer.step(torch.amp.GradScaler("cpu", enabled=False))
    gradient = torch.zeros_like(before)
    for row, label in zip(embedding.features.detach(), labels, strict=True):
        gradient[label] += 2 * (before[label] - row) / 8
    torch.testing.assert_close(centers.detach(), before - 0.5 * gradient)
    adams = [id(p) for group in optimizer.main.param_groups for p in group["params"]]
    assert id(centers) not in adams


def test_build_objective_raises_for_an_unknown_name():
    message = "name must be one of 'softmax', .*'expat', got 'expAT'"
    with pytest.raises(ValueError, match=message):
        training.build_objective("expAT", TINY, models.TwoStream("small", 3))


@pytest.mark.parametrize(
    "objective",
    [
        pytest.param(name, marks=() if name == "expat" else pytest.mark.slow)
        for name in training.OBJECTIVES
    ],
)
def test_train_learns_the_squares(objective):
    untrained = models.TwoStream("small", IDENTITIES)
    model, outcome = run(objective)
    assert outcome.iterations == 60 and outcome.images_per_second > 0
    assert rank1(model, Squares()) >= rank1(untrained, Squares()) + 0.4


def test_train_runs_in_bfloat16():
    _, outcome = run(
        recipe=replace(TINY, iterations=10), execution=training.Execution(precision="bfloat16")
    )
    assert math.isfinite(outcome.losses["expat"])


def test_train_runs_on_the_device(device):
    model, outcome = run(recipe=replace(TINY, iterations=10), execution=training.Execution(device))
    assert next(model.parameters()).device.type == device.type
    assert math.isfinite(outcome.losses["id"])


def test_precision_follows_the_device():
    assert training.fastest_precision("cpu") in {"float32", "bfloat16"}
    with pytest.raises(ValueError, match=r"precision must be one of .* got 'half'"):
        Precision("half", torch.device("cpu"))
    with pytest.raises(ValueError, match="'float32' or 'bfloat16' on cpu, got 'float16'"):
        Precision("float16", torch.device("cpu"))


def test_train_raises_for_a_loss_that_is_not_finite():
    with pytest.raises(ValueError, match=r"losses must be finite, got .*nan.* at iteration 10"):
        run(recipe=replace(TINY, learning_rate=1e30))


def test_train_raises_for_a_loader_without_batches():
    _, sampler = batches(Squares())
    model = models.TwoStream("small", IDENTITIES)
    goal = training.build_objective("softmax", TINY, model)
    with pytest.raises(ValueError, match="loader must yield batches"):
        training.train(model, [], goal, TINY, sampler=sampler)


def test_train_writes_curves_for_tensorboard(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run(recipe=replace(TINY, iterations=20), records=training.Records(tmp_path))
    events = reader.EventAccumulator(str(tmp_path)).Reload()
    assert {"loss/id", "loss/expat", "learning_rate"} <= set(events.Tags()["scalars"])
    assert [point.step for point in events.Scalars("loss/id")] == [10, 20]


def test_log_without_a_folder_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ScalarLog(None) as log:
        log.write({"loss": 1.0}, 1)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("output", ["features", "pooled"])
def test_extract_keeps_order_and_training_mode(output):
    images = Squares()
    model = models.TwoStream("small", IDENTITIES).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    rows = embed(model, images, batch_size=24, output=output)
    assert model.training and rows.dtype == torch.float32 and rows.shape == (64, 576)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    model.eval()
    for index in (0, 23, 24, 63):
        item = images[index, 0]
        alone = getattr(model(item[0][None], torch.tensor([item[3]])), output)
        torch.testing.assert_close(rows[index], alone[0].detach(), rtol=1e-4, atol=1e-5)


def test_extract_with_flip_ignores_mirroring():
    class Mirrored(Squares):
        def __getitem__(self, key):
            image, *facts = super().__getitem__(key)
            return image.flip(2), *facts

    model = models.TwoStream("small", IDENTITIES)
    plain, mirrored = (embed(model, i, flip=True) for i in (Squares(), Mirrored()))
    torch.testing.assert_close(plain, mirrored, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain, embed(model, Squares()), rtol=1e-3)


def test_extract_returns_no_rows_without_images():
    images = Squares()
    images.samples = []
    assert embed(models.TwoStream("small", 3), images).shape == (0, 576)


@pytest.mark.parametrize("name", training.OBJECTIVES)
@pytest.mark.parametrize("label", [-100, -1, 3])
def test_objectives_raise_for_labels_out_of_range(name, label):
    stripes = training.method(name).stripes or 0
    model = models.TwoStream("small", 3, stripes=stripes)
    objective = training.build_objective(name, training.EMBEDDED_VISIBLE, model)
    zeros = torch.zeros(4, dtype=torch.int64)
    targets = training.Targets(torch.tensor([0, 0, 1, label]), zeros, zeros)
    message = rf"Objective: targets.labels must be in \[0, 3\), got {label} in row 3; map"
    with pytest.raises(ArgumentError, match=message):
        objective(model(torch.rand(4, 3, 96, 48), zeros), targets, iteration=0)


def test_extract_returns_a_feature_set_with_everything_known():
    images = Squares()
    model = models.TwoStream("small", IDENTITIES)
    found = training.extract(model, images, source={"model": "small"}, batch_size=24)
    torch.testing.assert_close(found.tensor(), embed(model, images, batch_size=24))
    assert found.identities.tolist() == [s.identity for s in images.samples]
    assert {"cameras", "modalities", "paths"} <= found.columns.keys()
    assert found.source == {"model": "small"}


def test_extract_raises_for_an_unknown_output():
    with pytest.raises(ValueError, match="must be one of 'features', 'pooled', got 'logits'"):
        training.extract(models.TwoStream("small", 3), Squares(), output="logits")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupts_wait_for_the_end_of_the_block(number):
    reached = False
    with pytest.raises(KeyboardInterrupt), termination_as_interrupt(), interrupts_deferred():
        os.kill(os.getpid(), number)
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_sigterm_keeps_the_handler_of_the_program():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
    try:
        with termination_as_interrupt(), interrupts_deferred():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [1]


def test_interrupts_are_unchanged_outside_the_main_thread():
    done = []

    def body():
        with interrupts_deferred():
            done.append(1)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert done


def test_transforms_follow_the_recipe():
    train, evaluate = training.transforms(training.EMBEDDED)
    assert train.size == evaluate.size == (96, 48)
    assert (train.pad, train.mix, train.erase) == ((4, 2), 0.6, 0.0)


class Recorder:
    """A replacement for the functions of wandb that the log calls."""

    def __init__(self):
        self.calls = []

    def init(self, **settings):
        self.calls.append(settings)
        return self

    def log(self, values, step):
        self.calls.append((values, step))

    def finish(self, exit_code):
        self.calls.append(exit_code)


def test_wandb_log_ends_with_the_status_of_the_training(tmp_path, monkeypatch):
    wandb = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    with pytest.raises(KeyError), ScalarLog(None, "people") as log:
        log.write({"loss": 2.0}, 7)
        raise KeyError
    assert wandb.calls == [{"project": "people", "dir": None}, ({"loss": 2.0}, 7), 1]


def test_log_raises_when_wandb_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match="wandb_project needs wandb, which is not installed"):
        ScalarLog(None, "people")


def test_log_writes_nothing_without_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with ScalarLog(tmp_path) as log:
        log.write({"loss": 1.0}, 1)
    assert not any(tmp_path.iterdir())
