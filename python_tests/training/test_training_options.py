"""Options of a training: parts of a batch, averaged parameters, validation, overrides."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from squares import TINY, Squares, run

from reid_ext import data, models, training
from reid_ext._runtime.arguments import ArgumentError
from reid_ext.training.average import moving_average, take_over
from reid_ext.training.checkpoint import read_checkpoint
from reid_ext.training.in_parts import InParts
from reid_ext.training.overrides import checked_settings, settings_from_text
from reid_ext.training.schedule import ramp

MODALITIES = torch.tensor([0, 1] * 6)


def images(number=12):
    return torch.rand(number, 3, 48, 24, generator=torch.Generator().manual_seed(0))


def judged(embedding):
    """A value that depends on pairs of rows, as a metric loss does."""
    return torch.cdist(embedding.features, embedding.features).square().mean()


@pytest.mark.parametrize("parts", [1, 3, 5, 99])
@pytest.mark.parametrize("stripes", [0, 3])
def test_in_parts_has_the_gradients_of_one_pass(parts, stripes):
    torch.manual_seed(0)
    model = models.TwoStream("small", 4, neck="per_modality", stripes=stripes).double()
    plain = copy.deepcopy(model)
    x = images().double()
    judged(InParts(model, parts)(x, MODALITIES)).backward()
    parts = min(parts, 6)
    pooled = torch.empty(12, model.feature_dim, dtype=torch.float64)
    rows = [slice(first, None, parts) for first in range(parts)]
    pooled = torch.zeros(12, model.feature_dim, dtype=torch.float64)
    for row in rows:
        placed = torch.zeros_like(pooled)
        placed[row] = 1
        spread = torch.zeros(12, len(x[row]), dtype=torch.float64)
        spread[torch.arange(12)[row], torch.arange(len(x[row]))] = 1
        pooled = pooled + spread @ plain.pooled(x[row], MODALITIES[row])
    judged(plain.embed(pooled, MODALITIES)).backward()
    for (name, own), other in zip(model.named_parameters(), plain.parameters(), strict=True):
        if own.requires_grad and other.grad is not None:
            torch.testing.assert_close(own.grad, other.grad, msg=lambda m, n=name: f"{n}: {m}")
    for (name, own), other in zip(model.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(own, other, msg=lambda m, n=name: f"{n}: {m}")


def test_in_parts_keeps_no_backbone_activations():
    def kept(network):
        sizes = []

        def pack(tensor):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network(images(), MODALITIES)
        return sum(sizes)

    model = models.TwoStream("small", 4)
    assert kept(InParts(model, 4)) < kept(model) / 4


def test_train_runs_in_parts():
    _, outcome = run(recipe=replace(TINY, parts=2, iterations=10))
    assert outcome.iterations == 10


def test_moving_average_follows_the_parameters():
    model = torch.nn.Linear(1, 1, bias=False)
    average = moving_average(model, 0.9)
    expected = None
    for value in (1.0, 2.0, 4.0):
        model.weight.data.fill_(value)
        average.update_parameters(model)
        expected = value if expected is None else 0.9 * expected + 0.1 * value
    take_over(model, average)
    assert model.weight.item() == pytest.approx(expected)
    assert moving_average(model, 0.0) is None


def test_train_ends_with_the_average_and_saves_both(tmp_path):
    file = tmp_path / "checkpoint.pt"
    recipe = replace(TINY, iterations=6, average=0.5)
    model, _ = run(recipe=recipe, saving=training.Saving(file))
    content = read_checkpoint(file)
    assert not torch.equal(content["model"]["classifier.weight"], model.classifier.weight)
    other = models.TwoStream("small", model.classifier.out_features)
    training.load_model(file, other)
    for own, loaded in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(own, loaded)
    resumed, outcome = run(recipe=recipe, saving=training.Saving(file, resume=True))
    assert outcome.iterations == 0
    assert torch.equal(resumed.classifier.weight, model.classifier.weight)


def test_validation_scores_periodically_and_keeps_the_best(tmp_path):
    scores = iter([0.1, 0.3, 0.2])
    best = tmp_path / "best.pt"
    validation = training.Validation(2, lambda model: next(scores), "mAP", best)
    run(recipe=replace(TINY, iterations=5), validation=validation)
    assert next(scores, None) is None
    content = read_checkpoint(best)
    assert content["iteration"] == 4 and content["best"] == 0.3


def test_validation_does_not_change_the_run():
    def score(model):
        torch.rand(3)
        return 0.0

    recipe = replace(TINY, iterations=3)
    torch.manual_seed(0)
    plain, _ = run(recipe=recipe)
    torch.manual_seed(0)
    validated, _ = run(recipe=recipe, validation=training.Validation(1, score))
    for a, b in zip(plain.parameters(), validated.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.slow
def test_train_writes_a_trace(tmp_path, capsys):
    file = tmp_path / "trace.json"
    run(recipe=replace(TINY, iterations=22), records=training.Records(trace=file))
    names = {event.get("name") for event in json.loads(file.read_text())["traceEvents"]}
    assert any(name and name.startswith("aten::") for name in names)
    assert "Self CPU" in capsys.readouterr().out


@pytest.mark.parametrize("objective", ["va_local", "fidi_local", "expat_center"])
def test_objective_is_the_mean_over_heads(objective):
    recipe = replace(TINY, stripes=2)
    labels, modalities = torch.tensor([0, 0, 1, 1] * 2), torch.tensor([0] * 4 + [1] * 4)
    model = models.TwoStream("small", 4, stripes=2)
    goal = training.build_objective(objective, recipe, model)
    embedding = model(torch.rand(8, 3, 48, 24), modalities)
    targets = training.Targets(labels, modalities, labels)
    total = goal(embedding, targets, 100).total
    singles = []
    for head, own, part in zip(model.heads, goal.losses, model.split(embedding), strict=True):
        alone = models.TwoStream("small", 4)
        alone.classifier = head.classifier
        single = training.build_objective(objective, recipe, alone)
        single.losses[0] = own
        alone.feature_dim = part.features.shape[1]
        singles.append(single(part, targets, 100).total)
    torch.testing.assert_close(total, torch.stack(singles).mean())


def test_stripes_are_means_of_the_last_feature_map():
    model = models.TwoStream("small", 4, stripes=3).eval()
    x = images(2)
    assert all(isinstance(stripe, models.Stripe) for stripe in model.stripes)
    last_map = model.trunk(model.stems[0](x))
    pooled = model(x, torch.zeros(2, dtype=torch.long)).pooled
    assert pooled.shape == (2, 576 + 3 * 192) and model.feature_dim == 576 + 3 * 192
    height = last_map.shape[2] // 3
    for stripe in range(3):
        rows = last_map[:, :, stripe * height : (stripe + 1) * height]
        begin = 576 + 192 * stripe
        torch.testing.assert_close(pooled[:, begin : begin + 192], rows.mean((2, 3)))


def test_two_stream_raises_for_invalid_stripes():
    backbone = models.Backbone(
        torch.nn.Identity(), torch.nn.Flatten(), torch.nn.Identity(), 12, None
    )
    with pytest.raises(ValueError, match="stripes must be 0 for a backbone without a last map"):
        models.TwoStream(backbone, 3, stripes=3)
    with pytest.raises(ValueError, match="stripes must be an integer >= 0, got -1"):
        models.TwoStream("small", 3, stripes=-1)


def test_settings_get_the_types_of_the_recipe():
    text = ["learning_rate=1e-4", "size=64x32", "milestones=10,20", "iterations=7", "neck=none"]
    changes = checked_settings(settings_from_text(text))
    assert changes == {
        "learning_rate": 1e-4,
        "size": (64, 32),
        "milestones": (10, 20),
        "iterations": 7,
        "neck": "none",
    }
    assert checked_settings({"size": [64, 32], "learning_rate": 1}) == {
        "size": (64, 32),
        "learning_rate": 1.0,
    }


@pytest.mark.parametrize(
    "assignment, message",
    [
        (
            "learning_rat=1",
            "name settings of the recipe, got 'learning_rat'; did you mean 'learning",
        ),
        ("foo=1", "settings must name settings of the recipe, got 'foo'; metrics.json lists them"),
        ("modalities=2", "settings must name settings of the recipe, got 'modalities'"),
        ("iterations=many", "settings.iterations must be an integer, got 'many'"),
        ("size=64", r"settings.size must be 2 integers such as 384x128, got \(64,\)"),
        ("size=axb", "settings.size must be 2 integers such as 384x128, got 'axb'"),
        ("size", "settings must be given as KEY=VALUE, got 'size'"),
        ("iterations=0", "settings.iterations must be a finite number > 0, got 0"),
        ("flip=2", r"settings.flip must be a finite number .* <= 1, got 2.0"),
        ("learning_rate=nan", "settings.learning_rate must be a finite number, got nan"),
    ],
)
def test_settings_raise_for_an_invalid_key_or_value(assignment, message):
    with pytest.raises(ArgumentError, match=f"RunOptions: .*{message}"):
        checked_settings(settings_from_text([assignment]))


def test_fraction_of_identities_is_nested_and_keeps_all_images():
    samples = Squares(images=3).samples
    small, large = (data.fraction(samples, share, seed=1) for share in (0.25, 0.5))
    counts = {s.identity for s in small}, {s.identity for s in large}
    assert [len(c) for c in counts] == [2, 4] and counts[0] < counts[1]
    assert len(small) == 2 * 6 and small == [s for s in samples if s.identity in counts[0]]
    assert data.fraction(samples, 1.0) == samples


def test_fraction_of_images_keeps_identities_and_modalities():
    samples = [s._replace(path=str(i)) for i, s in enumerate(Squares(images=4).samples)]
    half = data.fraction(samples, 0.5, of="images")
    assert len(half) == len(samples) / 2
    quarter = data.fraction(samples, 0.01, of="images")
    assert {(s.identity, s.modality) for s in quarter} == {
        (s.identity, s.modality) for s in samples
    }
    assert {s.path for s in quarter} < {s.path for s in half}


@pytest.mark.parametrize(
    "share, of, message",
    [
        (0, "images", r"share must be a finite number > 0 and <= 1, got 0"),
        (1.5, "images", r"share must be a finite number > 0 and <= 1, got 1.5"),
        ("half", "images", r"share must be a finite number > 0 and <= 1, got 'half'"),
        (0.5, "cameras", "of must be one of 'identities', 'images', got 'cameras'"),
        (0.5, ["images"], "of must be one of 'identities', 'images', got "),
    ],
)
def test_fraction_raises_for_invalid_arguments(share, of, message):
    with pytest.raises(ValueError, match=message):
        data.fraction(Squares().samples, share, of=of)


@pytest.mark.parametrize("at", [(0, 0), (1, 1), (5, 5)])
def test_ramp_is_a_step_when_its_length_is_zero(at):
    recipe = replace(training.EMBEDDED, metric_ramp=at)
    assert [ramp(recipe, i) for i in range(8)] == [float(i >= at[0]) for i in range(8)]
