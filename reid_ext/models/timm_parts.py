"""The layers of timm models, an optional dependency.

The number of features and the accepted image size are measured by a run of one image, because timm
announces other numbers for some models (MobileNet: 960 instead of 1280).
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.models.weights import load_weights

FUNCTION = "build_backbone"
Size = tuple[int, int]
Parts = tuple[nn.Module, nn.Module, nn.Module, int, int | None, Size | None]


def timm_parts(name: str, weights: str | Path | None, size: Size | None) -> Parts:
    """Return the arguments of :class:`Backbone` for a timm model; see :func:`build_backbone`."""
    timm = _import_timm(name)
    if not timm.is_model(name):
        advice = "timm.list_models() gives the names"
        raise ArgumentError(FUNCTION, "name", "be 'small' or a timm model", repr(name), advice)
    facts = timm.get_pretrained_cfg(name, allow_unregistered=True)
    own_size: Size = tuple(facts.input_size[1:]) if facts else (224, 224)
    is_fixed = bool(facts and facts.fixed_input_size)
    size = size or own_size
    options = {"img_size": size} if is_fixed else {}
    with _size_errors(name, size, own_size, AssertionError):
        network = _create(timm, name, weights, options)
    with _size_errors(name, size, own_size, Exception):
        width = _feature_dim(network, size)
    if weights not in (None, "imagenet"):
        load_weights(network, weights)
    fixed_size = size if is_fixed else None
    if not isinstance(network, timm.models.ResNet):
        return nn.Identity(), network, nn.Identity(), width, None, fixed_size
    set_last_stride_to_1(network)
    stem = nn.Sequential(network.conv1, network.bn1, network.act1, network.maxpool)
    trunk = nn.Sequential(network.layer1, network.layer2, network.layer3, network.layer4)
    return stem, trunk, network.global_pool, width, width, fixed_size


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


def _import_timm(name: str) -> ModuleType:
    needs = f"build_backbone: the backbone {name!r} needs timm"
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise ImportError(f"{needs}, which {_BROKEN.format(error)}") from error
        raise ImportError(
            f'{needs}, which is not installed; use the backbone "small", or install timm and the '
            f"torchvision that was released with torch {torch.__version__}"
        ) from error
    except Exception as error:  # RuntimeError: torchvision is of another build of torch
        raise ImportError(f"{needs}, which {_BROKEN.format(_one_line(error))}") from error
    return timm


_BROKEN = (
    "is installed but cannot be imported ({}); install the torchvision that was released with "
    f"torch {torch.__version__}, from the package index of this torch"
)


@contextmanager
def _size_errors(name: str, size: Size, own_size: Size, kind: type[Exception]) -> Iterator[None]:
    """Turn the errors of a timm model for an image size into one that has the way out."""
    try:
        yield
    except kind as error:
        requirement = f"be an image size that {name!r} accepts"
        got = f"{size[0]}x{size[1]} ({_one_line(error)})"
        advice = f"use {own_size[0]}x{own_size[1]}, the size of its ImageNet weights"
        raise ArgumentError(FUNCTION, "size", requirement, got, advice) from error


def _feature_dim(network: nn.Module, size: Size) -> int:
    """Return the number of features that the network gives for one image of this size."""
    with torch.no_grad():
        features = network.eval()(torch.zeros(1, 3, *size))
    network.train()
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise ValueError("it does not return one vector for each image")
    return features.shape[1]


def _create(
    timm: ModuleType, name: str, weights: str | Path | None, options: dict[str, Any]
) -> Any:
    pretrained = weights == "imagenet"
    logger = logging.getLogger("huggingface_hub")  # reports each attempt of a download
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except Exception as error:  # no connection, a bad cache, or no weights for this model
        if not pretrained or isinstance(error, AssertionError):
            raise
        raise RuntimeError(
            f"build_backbone: timm must load the ImageNet weights of {name!r}, got "
            f"{_one_line(error)}; check the network connection, or pass the path of a file with "
            "the weights"
        ) from error
    finally:
        logger.setLevel(level)


def _one_line(error: Exception) -> str:
    """Return the first sentence of an error, or its type if it has no message."""
    first, *_ = re.split(r"\.\s|\n", str(error).strip() or type(error).__name__)
    return first[:200].rstrip(".")
