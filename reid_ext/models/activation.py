"""Where in an image a trained network looks: class-activation maps by gradients (Grad-CAM)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_ext._runtime.arguments import ArgumentError, instance
from reid_ext.models.two_stream import TwoStream


def activation_maps(
    model: TwoStream, images: Tensor, modalities: Tensor, reference: Tensor | None = None
) -> Tensor:
    """Return how much each place of the last feature map speaks for an identity or a match.

    Channels are weighted by the mean gradient of a score, summed, and cut at 0.

    Args:
        model: With ``"small"`` or a ResNet as backbone; run in evaluation mode, and left as it was.
        images: (N, 3, H, W), transformed for evaluation, on the model's device.
        modalities: (N,).
        reference: (N, D): features, such as those of a query, and the score is the cosine with
            them. None: the score is the largest logit of the classifier.

    Returns:
        (N, h, w) float32 in [0, 1], each map divided by its maximum; zeros where nothing speaks
        for the score.

    Raises:
        ArgumentError: a backbone without a feature map before its pooling, or another shape.

    Source:
        Selvaraju et al. 2017, "Grad-CAM", ICCV.
    """
    function = "activation_maps"
    if not isinstance(instance(function, "model", model, TwoStream).trunk, nn.Sequential):
        got = f"a trunk of {type(model.trunk).__name__}, whose last feature map is not known"
        raise ArgumentError(function, "model", "have the backbone 'small' or a ResNet", got)
    if reference is not None and reference.shape != (len(images), model.feature_dim):
        requirement = f"have shape ({len(images)}, {model.feature_dim})"
        raise ArgumentError(function, "reference", requirement, str(tuple(reference.shape)))
    kept: list[Tensor] = []
    hook = model.trunk.register_forward_hook(lambda *call: kept.append(call[2]))
    was_training = model.training
    model.eval()
    try:
        with torch.enable_grad():
            features = model(images.detach().requires_grad_(), modalities).features
            if reference is None:
                score = model.classifier(features[:, : model.widths[0]]).amax(1)
            else:
                score = F.cosine_similarity(features, reference.detach().to(features))
            (maps,) = kept
            (gradient,) = torch.autograd.grad(score.sum(), maps)
    finally:
        hook.remove()
        model.train(was_training)
    weights = gradient.mean((2, 3), keepdim=True)
    found = F.relu((weights * maps.detach()).sum(1)).float()
    most = found.amax((1, 2), keepdim=True)
    return torch.where(most > 0, found / most, torch.zeros_like(found))
