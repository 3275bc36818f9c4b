"""Loads the weights of a backbone from a file of this or another program.

A state dict may be an entry of a larger dict, and its names may have a prefix, if it is clear which
entry and which prefix it is. Everything else that does not match the network raises an error.
"""

import pickle
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reid_ext._runtime.arguments import ArgumentError

FUNCTION = "build_backbone"
State = dict[str, Tensor]
_CLASSIFIERS = ("fc.", "head.", "classifier.")
_REASONS: dict[type[Exception], str] = {
    pickle.UnpicklingError: "damaged, or not only tensors and numbers"
}
_COUNTER = "num_batches_tracked"  # missing in old ImageNet files and not needed


def load_weights(network: nn.Module, weights: str | Path) -> None:
    """Load the parameters in the file ``weights``; errors as in :func:`build_backbone`."""
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"build_backbone: weights must be None, 'imagenet' or the path of a file, got {path}"
        )
    own = network.state_dict()
    state = _state_dict(path, _read(path))
    prefix = _prefix(path, state, own)
    outside = [name for name in state if not name.startswith(prefix)]
    state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    classifiers = (*_CLASSIFIERS, *_classifiers(network))
    state = {k: v for k, v in state.items() if k in own or not k.startswith(classifiers)}
    state = _resampled(network, own, state)
    missing = sorted(k for k in own.keys() - state.keys() if not k.endswith(_COUNTER))
    unknown = sorted(state.keys() - own.keys())
    for problem, keys in (
        ("lacks entries", missing),
        ("has unknown entries", unknown),
        ("has entries of other shapes", _other_shapes(own, state)),
    ):
        if keys:
            got = f"{path}, which {problem} ({len(keys)} of {len(own)}): {_shown(keys)}"
            use = "use weights of the same model"
            raise ArgumentError(FUNCTION, "weights", "match the model", got, use)
    network.load_state_dict(state, strict=False)
    if outside:
        warnings.warn(
            f"build_backbone: weights: {len(outside)} entries of {path} outside {prefix!r} are not "
            f"used: {_shown(outside)}",
            stacklevel=4,
        )


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except ImportError:
        raise ImportError(
            f"build_backbone: {path.name} needs safetensors, which is not installed; "
            'install it with pip install "reid_ext[export]"'
        ) from None
    except Exception as error:  # zipfile, pickle, safetensors and torch raise many types
        got = f"{path} ({_REASONS.get(type(error), type(error).__name__)})"
        advice = "save only its state dict, or download it again"
        raise ArgumentError(FUNCTION, "weights", "be a readable state dict", got, advice) from error


def _state_dict(path: Path, content: Any) -> State:
    """Return ``content`` or, if it is no state dict, its only entry that is one."""
    if _is_state(content):
        return content
    entries = content.items() if isinstance(content, Mapping) else ()
    found = {name: entry for name, entry in entries if _is_state(entry)}
    if len(found) != 1:
        requirement, advice = "be one state dict (names to tensors)", "save only model.state_dict()"
        got = f"{path} with {_shown(list(map(str, found))) or type(content).__name__}"
        raise ArgumentError(FUNCTION, "weights", requirement, got, advice)
    return next(iter(found.values()))


def _is_state(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
    )


def _prefix(path: Path, state: State, own: State) -> str:
    """Return the prefix of the network's entries in ``state``, such as ``module.backbone.``."""
    wanted = [name for name in own if not name.endswith(_COUNTER)]
    found = {name.removesuffix(wanted[0]) for name in state if name.endswith(wanted[0])}
    prefixes = [p for p in sorted(found) if p == "" or p.endswith(".")]
    whole = [p for p in prefixes if all(p + name in state for name in wanted)]
    if len(whole) > 1 and "" not in whole:
        got, advice = f"{path} with {_shown(whole)}", "save only the state dict of one network"
        raise ArgumentError(FUNCTION, "weights", "hold one network", got, advice)
    if "" in whole or not prefixes:
        return ""
    return (whole or prefixes)[0]


def _classifiers(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the ImageNet classifier of a timm model, which was built without it."""
    names = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def _resampled(network: nn.Module, own: State, state: State) -> State:
    """Adapt the position embedding to the image size, with the model's own function of timm."""
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None or not _other_shapes(own, state):
        return state
    try:
        return convert(dict(state), network)
    except Exception:  # the entries are of another model: the caller lists them
        return state


def _other_shapes(own: State, state: State) -> list[str]:
    return sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)


def _shown(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
