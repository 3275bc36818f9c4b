"""Backbones, which map images to one pooled vector per image.

``"small"`` is part of this package. Any other name is a model of timm, an optional dependency. The
last stride of a timm ResNet is set to 1, as is common in re-identification, which doubles the
height and width of the last map.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from reid_ext._runtime.arguments import ArgumentError, instance
from reid_ext.models.small import small_parts

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
    ):
        super().__init__()
        self.stem = stem
        self.trunk = trunk
        self.pool = pool
        self.feature_dim = feature_dim
        self.map_dim = map_dim

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.trunk(self.stem(images)))


def build_backbone(name: str, weights: str | Path | None = None) -> Backbone:
    """Build a backbone, with random or pretrained weights.

    Args:
        name: ``"small"``, or the name of a timm model such as ``"resnet50"``.
        weights: ``"imagenet"`` loads timm's pretrained weights, which timm downloads unless they
            are in its cache. A path loads a state dict (.pt, .pth or .safetensors) with timm's
            names of the layers; entries of the ImageNet classifier (``fc``, ``head``,
            ``classifier``) are ignored. Default: None (random weights).

    Returns:
        A :class:`Backbone`.

    Raises:
        ImportError: ``name`` is a timm model and timm is not installed.
        FileNotFoundError: the file ``weights`` does not exist.
        ArgumentError: the model does not exist, or the weights do not match it.

    Examples:
        >>> import torch
        >>> from reid_ext.models import build_backbone
        >>> backbone = build_backbone("small")
        >>> backbone(torch.zeros(2, 3, 96, 48)).shape
        torch.Size([2, 576])
    """
    name = instance(FUNCTION, "name", name, str)
    if name == "small":
        if weights == "imagenet":
            requirement = "be None or a file for the backbone 'small'"
            advice = "it has no ImageNet weights and is trained from scratch"
            raise ArgumentError(FUNCTION, "weights", requirement, "'imagenet'", advice)
        backbone = Backbone(*small_parts())
        if weights is not None:
            _load_weights(backbone, weights)
        return backbone
    return _timm_backbone(name, weights)


def _timm_backbone(name: str, weights: str | Path | None) -> Backbone:
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            f"build_backbone: the backbone {name!r} needs timm, which is not installed; "
            'install it with pip install "reid_ext[train]", or use the backbone "small"'
        ) from error
    if not timm.is_model(name):
        advice = "timm.list_models() gives the names"
        raise ArgumentError(FUNCTION, "name", "be 'small' or a timm model", repr(name), advice)
    network = _create(timm, name, weights)
    if weights not in (None, "imagenet"):
        _load_weights(network, weights)
    if not isinstance(network, timm.models.ResNet):
        return Backbone(nn.Identity(), network, nn.Identity(), network.num_features, None)
    set_last_stride_to_1(network)
    stem = nn.Sequential(network.conv1, network.bn1, network.act1, network.maxpool)
    trunk = nn.Sequential(network.layer1, network.layer2, network.layer3, network.layer4)
    return Backbone(stem, trunk, network.global_pool, network.num_features, network.num_features)


def _create(timm: ModuleType, name: str, weights: str | Path | None) -> Any:
    try:
        return timm.create_model(name, pretrained=weights == "imagenet", num_classes=0)
    except (
        Exception
    ) as error:  # no connection, a bad cache, or no pretrained weights for this model
        if weights != "imagenet":
            raise
        raise RuntimeError(
            f"build_backbone: timm must load the ImageNet weights of {name!r}, got {error}; check "
            "the network connection, or pass the path of a file with the weights"
        ) from error


def set_last_stride_to_1(network: Any) -> None:
    """Set the stride of a timm ResNet's last stage to 1, in place and without dilation.

    timm's ``output_stride=16`` has another effect, because it dilates the following convolutions.
    """
    for parent in network.layer4[0].modules():
        for name, layer in parent.named_children():
            if isinstance(layer, nn.Conv2d):
                layer.stride = (1, 1)
            elif isinstance(layer, nn.AvgPool2d):  # the shortcut of the "d" networks
                setattr(parent, name, nn.Identity())


def _load_weights(network: nn.Module, weights: str | Path | None) -> None:
    path = Path(str(weights))
    if not path.is_file():
        raise FileNotFoundError(
            f"build_backbone: weights must be None, 'imagenet' or the path of a file, got {path}"
        )
    own = network.state_dict()
    state = _read_state(path)
    state = {k: v for k, v in state.items() if k in own or not k.startswith(_CLASSIFIERS)}
    missing = sorted(k for k in own.keys() - state.keys() if not k.endswith(_COUNTER))
    unknown = sorted(state.keys() - own.keys())
    other = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    for problem, keys in (
        ("lacks entries", missing),
        ("has unknown entries", unknown),
        ("has entries of other shapes", other),
    ):
        if keys:
            shown = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
            got = f"{path}, which {problem} ({len(keys)} of {len(own)}): {shown}"
            advice = "use weights of the same model"
            raise ArgumentError(FUNCTION, "weights", "match the model", got, advice)
    network.load_state_dict(state, strict=False)


_CLASSIFIERS = ("fc.", "head.", "classifier.")
_COUNTER = "num_batches_tracked"  # missing in old ImageNet files and not needed


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError:
        raise ImportError(
            f"build_backbone: {path.name} needs safetensors, which is not installed; "
            'install it with pip install "reid_ext[train]"'
        ) from None
    except Exception as error:
        got, advice = f"{path} ({type(error).__name__})", "download or save it again"
        requirement = "be a readable state dict"
        raise ArgumentError(FUNCTION, "weights", requirement, got, advice) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        got, advice = f"{path} with {type(state).__name__}", "save only model.state_dict()"
        requirement = "be a state dict (names to tensors)"
        raise ArgumentError(FUNCTION, "weights", requirement, got, advice)
    return state
