"""Backbones by name: images in, one pooled vector per image out.

``"small"`` is ours; any other name is a timm model (an optional dependency). A residual network
of timm's gets its last stride set to 1, as re-identification uses it: the last map is twice as
high and wide.
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
    """``stem``, ``trunk``, then ``pool``: images (N, 3, H, W) -> (N, ``feature_dim``).

    The stem is the part that a two-stream network may hold once per modality. It is empty where
    an architecture has no such part. The trunk makes a map (N, ``map_dim``, H', W'), from which
    local branches pool as well; ``map_dim`` is None where it makes the vector itself.
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
    """Return a backbone.

    Args:
        name: ``"small"``, or a timm model such as ``"resnet50"``.
        weights: None: random. ``"imagenet"``: timm's pretrained weights, fetched over the network
            by timm if it has not cached them. Otherwise the path of a state dict (.pt, .pth or
            .safetensors) of the model as timm names its layers; entries of the ImageNet
            classifier (``fc``, ``head``, ``classifier``) are left out.

    Raises:
        ImportError: a timm model is asked for and timm is not installed.
        FileNotFoundError: there is no file ``weights``.
        ArgumentError: no such model, or weights that do not fit it.
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
    except Exception as error:  # the network, the cache, or no pretrained weights for this name
        if weights != "imagenet":
            raise
        raise RuntimeError(
            f"build_backbone: timm must get ImageNet weights of {name!r}, got {error}; check the "
            "network, or give the path of a file with them"
        ) from error


def set_last_stride_to_1(network: Any) -> None:
    """Take the stride out of a timm ResNet's last stage, without dilation, in place.

    timm's ``output_stride=16`` is not the same: it dilates the convolutions that follow.
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
        ("lacks", missing),
        ("has unknown", unknown),
        ("has other shapes", other),
    ):
        if keys:
            shown = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
            got = f"{path}, which {problem} ({len(keys)} of {len(own)}): {shown}"
            advice = "use the weights of this same model"
            raise ArgumentError(FUNCTION, "weights", "fit the model", got, advice)
    network.load_state_dict(state, strict=False)


_CLASSIFIERS = ("fc.", "head.", "classifier.")
_COUNTER = "num_batches_tracked"  # old ImageNet files lack these counters, and nothing reads them


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
        got, advice = f"{path} ({type(error).__name__})", "fetch it again, or use torch.save"
        requirement = "be a readable state dict"
        raise ArgumentError(FUNCTION, "weights", requirement, got, advice) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        got, advice = f"{path} with {type(state).__name__}", "save model.state_dict() alone"
        requirement = "be a state dict (names to tensors)"
        raise ArgumentError(FUNCTION, "weights", requirement, got, advice)
    return state
