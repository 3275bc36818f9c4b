"""Gradient-weighted class-activation maps (Grad-CAM) of a trained network."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_ext._runtime.arguments import ArgumentError, instance
from reid_ext.models.two_stream import TwoStream


def activation_maps(
    model: TwoStream, images: Tensor, modalities: Tensor, reference: Tensor | None = None
) -> Tensor:
    """Return how much each position of the last feature map contributes to a score (Grad-CAM).

    The channels are weighted by the mean gradient of the score and summed, and negative values are
    set to 0.

    Args:
        model: A network with the backbone ``"small"`` or a ResNet. It runs in evaluation mode, and
            its mode is restored afterwards.
        images: Images of shape (N, 3, H, W), transformed for evaluation, on the model's device.
        modalities: Modalities of shape (N,), 0 for visible and 1 for infrared.
        reference: Features of shape (N, D), such as those of a query. The score is then the cosine
            of the image's features with them. Default: None (the score is the largest logit of the
            classifier).

    Returns:
        Maps of shape (N, h, w), float32 in [0, 1]. Each map is divided by its maximum, and is zero
        if no position increases the score.

    Raises:
        ArgumentError: the backbone has no feature map before its pooling, or a shape is invalid.

    Source:
        Selvaraju et al. 2017, "Grad-CAM", ICCV.

    Examples:
        >>> import torch
        >>> from reid_ext.models import TwoStream, activation_maps
        >>> model = TwoStream("small", num_identities=2)
        >>> images, modalities = torch.rand(1, 3, 96, 48), torch.tensor([0])
        >>> activation_maps(model, images, modalities).shape
        torch.Size([1, 6, 3])
    """
    function = "activation_maps"
    if not isinstance(instance(function, "model", model, TwoStream).trunk, nn.Sequential):
        got = f"the trunk {type(model.trunk).__name__}, whose last feature map is unknown"
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
