"""Automatic mixed precision: which type the network runs in, and the scaling of its gradients."""

import torch

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def fastest_precision(device: str | torch.device) -> str:
    """Return ``"bfloat16"`` where the device multiplies it in hardware, else ``"float32"``.

    A CPU without such instructions emulates bfloat16, which is slower than float32.
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
        name: ``"float32"`` (neither), ``"bfloat16"``, or ``"float16"`` (CUDA only).
        device: Where the network runs.
    """

    def __init__(self, name: str, device: torch.device):
        if name not in PRECISIONS:
            raise ValueError(
                f"train: precision must be one of {', '.join(map(repr, PRECISIONS))}, got {name!r}"
            )
        if name == "float16" and device.type != "cuda":
            raise ValueError(
                f"train: precision must be 'float32' or 'bfloat16' on {device.type}, got "
                "'float16'; use fastest_precision(device)"
            )
        self.name = name
        self.device = device
        # float16 alone can underflow in the backward pass; switched off the scaler is the identity
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "float16")

    def autocast(self) -> torch.autocast:
        """A context for the forward pass of the network."""
        dtype = PRECISIONS[self.name]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)
