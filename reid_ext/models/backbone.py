"""Backbones, which map images to one pooled vector per image.

``"small"`` is part of this package. Any other name is a model of timm, an optional dependency. The
last stride of a timm ResNet is set to 1, as is common in re-identification, which doubles the
height and width of the last map.
"""

from pathlib import Path

from torch import Tensor, nn

from reid_ext._runtime.arguments import ArgumentError, image_size, instance
from reid_ext.models.small import small_parts
from reid_ext.models.timm_parts import timm_parts
from reid_ext.models.weights import load_weights

FUNCTION = "build_backbone"


class Backbone(nn.Module):
    """A backbone that applies ``stem``, ``trunk`` and ``pool`` in this order.

    Args:
        stem: The layers that a two-stream network can have once per modality. ``nn.Identity`` if
            the architecture has no such layers.
        trunk: The layers that compute the last map (N, ``map_dim``, H', W').
        pool: The pooling of the last map to (N, ``feature_dim``).
        feature_dim: Number of features of the pooled vector.
        map_dim: Number of channels of the last map, or None if the trunk returns the pooled vector
            itself.
        fixed_size: The only (height, width) of the images that the layers accept. Default: None,
            any size.

    Shape:
        - images: (N, 3, H, W).
        - Returns: (N, ``feature_dim``).

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from reid_ext.models import Backbone
        >>> trunk, pool = nn.Conv2d(3, 8, 3), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> backbone = Backbone(nn.Identity(), trunk, pool, feature_dim=8, map_dim=8)
        >>> backbone(torch.zeros(2, 3, 16, 8)).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        stem: nn.Module,
        trunk: nn.Module,
        pool: nn.Module,
        feature_dim: int,
        map_dim: int | None,
        fixed_size: tuple[int, int] | None = None,
    ):
        super().__init__()
        self.stem = stem
        self.trunk = trunk
        self.pool = pool
        self.feature_dim = feature_dim
        self.map_dim = map_dim
        self.fixed_size = fixed_size

    def forward(self, images: Tensor) -> Tensor:
        check_images("Backbone", images, self.fixed_size)
        return self.pool(self.trunk(self.stem(images)))


def check_images(function: str, images: Tensor, fixed_size: tuple[int, int] | None) -> None:
    """Raise unless a backbone of this ``fixed_size`` accepts the images."""
    if fixed_size is not None and images.shape[2:] != fixed_size:
        requirement = "be {}x{} pixels, the only size of this backbone".format(*fixed_size)
        got, advice = "{}x{}".format(*images.shape[2:]), "resize them, or build it with size="
        raise ArgumentError(function, "images", requirement, got, advice)


def build_backbone(
    name: str, weights: str | Path | None = None, *, size: tuple[int, int] | None = None
) -> Backbone:
    """Build a backbone, with random or pretrained weights.

    Args:
        name: ``"small"``, or the name of a timm model such as ``"resnet50"``.
        weights: ``"imagenet"`` loads timm's pretrained weights, which timm downloads unless they
            are in its cache. A path loads a state dict (.pt, .pth or .safetensors) with timm's
            names of the layers. It may be an entry of a larger dict, and all names may have a
            prefix such as ``module.``. Entries of the ImageNet classifier (``fc``, ``head``,
            ``classifier``) are ignored. Default: None (random weights).
        size: (height, width) of the images in pixels. Most vision transformers accept one size
            only and are built for it. Default: None (the size of timm's weights).

    Returns:
        A :class:`Backbone`.

    Raises:
        ImportError: ``name`` is a timm model, and timm or torchvision is missing or broken.
        FileNotFoundError: the file ``weights`` does not exist.
        ArgumentError: the model does not exist, does not accept images of ``size``, or the weights
            do not match it.
        RuntimeError: the ImageNet weights cannot be downloaded.

    Examples:
        >>> import torch
        >>> from reid_ext.models import build_backbone
        >>> backbone = build_backbone("small")
        >>> backbone(torch.zeros(2, 3, 96, 48)).shape
        torch.Size([2, 576])
    """
    name = instance(FUNCTION, "name", name, str)
    if size is not None:
        size = image_size(FUNCTION, "size", size)
    if name == "small":
        if weights == "imagenet":
            requirement = "be None or a file for the backbone 'small'"
            advice = "it has no ImageNet weights and is trained from scratch"
            raise ArgumentError(FUNCTION, "weights", requirement, "'imagenet'", advice)
        backbone = Backbone(*small_parts())
        if weights is not None:
            load_weights(backbone, weights)
        return backbone
    return Backbone(*timm_parts(name, weights, size))
