"""What every op's Python face does alike with its arguments: dtypes, integers and choices."""

import torch
from torch import Tensor

_HALF = (torch.float16, torch.bfloat16)


def computed(argument: str, x: Tensor) -> Tensor:
    """``x`` in the precision the kernels compute in: half types as float32.

    ``argument`` is what to call it in the error for anything but a tensor.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{argument} must be a tensor, got {type(x).__name__}")
    if x.layout != torch.strided:
        raise TypeError(f"{argument} must be a dense tensor, got one of {x.layout}")
    return x.float() if x.dtype in _HALF else x


def integers(argument: str, t: Tensor, like: Tensor) -> Tensor:
    """``t`` as int64, from any integer type, or a list on the device of ``like``.

    ``argument`` is what to call it in the error.
    """
    if not isinstance(t, Tensor):
        try:
            t = torch.as_tensor(t, device=like.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(
                f"{argument} must be a tensor or a list of integers, got {type(t).__name__} "
                f"({error})"
            ) from None
    if t.dtype == torch.int64:
        return t
    real = t.is_floating_point() or t.is_complex() or t.dtype == torch.bool
    if real and t.numel() > 0:  # an empty list becomes a float tensor
        raise RuntimeError(f"{argument} must hold integers, got {t.dtype}; call .long() on it")
    return t.long()


METRICS = ("cosine", "euclidean", "squared_euclidean")


def code_of(argument: str, value: str, names: tuple[str, ...]) -> int:
    """The number by which the schema knows one of ``names``."""
    if value not in names:
        raise RuntimeError(f"{argument} must be one of {', '.join(names)}, got {value!r}")
    return names.index(value)
