"""Automatic mixed precision: the dtype of the network's products, and gradient scaling."""

import torch

from reid_ext._runtime.arguments import ArgumentError

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def fastest_precision(device: str | torch.device) -> str:
    """Return the fastest precision of a device.

    A CPU without bfloat16 instructions emulates them, which is slower than float32.

    Args:
        device: Device to compute on.

    Returns:
        ``"bfloat16"`` if the device has bfloat16 instructions, else ``"float32"``.

    Examples:
        >>> from reid_ext import training
        >>> training.fastest_precision("cpu") in ("float32", "bfloat16")
        True
    """
    if torch.device(device).type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able: dict = getattr(torch.cpu, "get_capabilities", dict)()  # not in the oldest torch
        fast = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return "bfloat16" if fast else "float32"


class Precision:
    """The autocast context and the gradient scaler of one run.

    Args:
        name: ``"float32"`` (no autocast and no scaling), ``"bfloat16"``, or ``"float16"`` (CUDA
            only).
        device: Device of the network.

    Raises:
        ArgumentError: the name is unknown, or the device does not support the precision.
    """

    def __init__(self, name: str, device: torch.device):
        if name not in PRECISIONS:
            names = ", ".join(map(repr, PRECISIONS))
            raise ArgumentError("train", "precision", f"be one of {names}", repr(name))
        if name == "float16" and device.type != "cuda":
            requirement = f"be 'float32' or 'bfloat16' on {device.type}"
            advice = "use fastest_precision(device)"
            raise ArgumentError("train", "precision", requirement, repr(name), advice)
        self.name = name
        self.device = device
        # only float16 can underflow in the backward pass; a disabled scaler does nothing
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "float16")

    def autocast(self) -> torch.autocast:
        """Return a context for the forward pass of the network."""
        dtype = PRECISIONS[self.name]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)
