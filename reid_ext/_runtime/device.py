"""Reads the device that a command-line flag names."""

import torch


def named_device(text: str) -> torch.device:
    """Return the device ``cpu``, ``cuda`` or ``cuda:N``.

    The ValueError for other text leaves out the name of the flag, which the caller adds.
    """
    kind, _, number = text.partition(":")
    count = torch.cuda.device_count()
    is_gpu = text == "cuda" or (kind == "cuda" and number.isdecimal())
    if text == "cpu" or (is_gpu and int(number or 0) < count):
        return torch.device(text)
    available = " or ".join(["cpu", *(f"cuda:{index}" for index in range(count))])
    why = "" if count else f" (torch {torch.__version__} finds no GPU)"
    raise ValueError(f"must be a device of this machine, got {text!r}; use {available}{why}")
