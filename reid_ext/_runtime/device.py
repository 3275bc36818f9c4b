"""The device that a flag names: one of this machine, or refused with what there is."""

import torch


def named_device(text: str) -> torch.device:
    """``cpu``, ``cuda`` or ``cuda:N``; ValueError, without the flag's name, for any other."""
    kind, _, number = text.partition(":")
    count = torch.cuda.device_count()
    is_gpu = text == "cuda" or (kind == "cuda" and number.isdecimal())
    if text == "cpu" or (is_gpu and int(number or 0) < count):
        return torch.device(text)
    there = ", ".join(["cpu", *(f"cuda:{index}" for index in range(count))])
    why = "" if count else f"; torch {torch.__version__} sees no GPU"
    raise ValueError(f"must be one of this machine, got {text!r}; there is {there}{why}")
