"""Activation maps against the formula of Grad-CAM, and their picture."""

import numpy as np
import pytest
import torch

from reid_ext import models, viz


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return models.TwoStream("small", 5).eval()


def reference_map(model, image, modality, score_of):
    """Grad-CAM of one image, whose weights are the mean gradients at the last block."""
    maps = model.trunk(model.stems[0](image[None])).detach().requires_grad_()
    pooled = model.pool(maps)
    score_of(model.neck(pooled, modality[None])).backward()
    weights = maps.grad.mean((0, 2, 3))
    found = torch.einsum("c,chw->hw", weights, maps.detach()[0]).clamp(min=0)
    return found / found.max()


@pytest.mark.parametrize("by_match", [False, True])
def test_activation_maps_match_the_formula_per_image(by_match, model):
    images, modalities = torch.randn(3, 3, 96, 48), torch.tensor([0, 1, 0])
    reference = torch.randn(3, model.feature_dim) if by_match else None
    got = models.activation_maps(model, images, modalities, reference)
    for i in range(3):
        if by_match:
            score = lambda f, i=i: torch.cosine_similarity(f, reference[i : i + 1]).sum()  # noqa: E731
        else:
            score = lambda f: model.classifier(f).max()  # noqa: E731
        torch.testing.assert_close(got[i], reference_map(model, images[i], modalities[i], score))


def test_activation_maps_leave_the_model_unchanged(model):
    model.train().zero_grad()
    with torch.no_grad():
        found = models.activation_maps(model, torch.randn(2, 3, 96, 48), torch.zeros(2).long())
    assert model.training and all(p.grad is None for p in model.parameters())
    assert found.shape == (2, 6, 3) and not found.requires_grad
    assert not model.trunk._forward_hooks
    model.eval()


def test_activation_maps_raise_for_invalid_arguments(model):
    images, modalities = torch.randn(1, 3, 96, 48), torch.zeros(1).long()
    with pytest.raises(ValueError, match=r"reference must have shape \(1, 576\), got \(2, 576\)"):
        models.activation_maps(model, images, modalities, torch.ones(2, 576))
    flat = models.TwoStream(
        models.Backbone(torch.nn.Identity(), torch.nn.Flatten(), torch.nn.Identity(), 12, None), 2
    )
    with pytest.raises(ValueError, match="model must have the backbone 'small' or a ResNet"):
        models.activation_maps(flat, torch.ones(1, 3, 2, 2), modalities)


def test_draw_activation_colours_active_regions_only():
    image = np.full((40, 20, 3), 120, np.uint8)
    heat = np.zeros((4, 2))
    heat[3, 1] = 1
    drawn = viz.draw_activation(image, heat, height=80)
    assert drawn.shape == (80, 80, 3)
    plain, over = drawn[:, :40], drawn[:, 40:]
    assert (plain == 120).all() and (over[:40] == 120).all()
    red, _, blue = over[78, 38].astype(int)
    assert red > blue + 30


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"activation": np.full((2, 2), 1.5)}, r"activation must .* values from 1\.5 to 1\.5"),
        ({"activation": np.ones(2)}, r"activation must be a non-empty array of shape \(h, w\)"),
        ({"activation": np.ones((0, 2))}, "activation must"),
        ({"image": np.ones((4, 2))}, "image must be a uint8"),
        ({"height": 0}, "height must be an integer >= 1"),
    ],
)
def test_draw_activation_raises_for_invalid_arguments(changed, message):
    given = {"image": np.zeros((4, 2), np.uint8), "activation": np.ones((2, 2)), **changed}
    with pytest.raises(ValueError, match=f"^draw_activation: {message}"):
        viz.draw_activation(**given)
