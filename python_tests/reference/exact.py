"""Features whose distances are exact for every order of summation, and therefore often equal."""

import numpy as np
import torch
from torch import Tensor


def whole(rows, dim, device="cpu", dtype=torch.float64) -> Tensor:
    """Rows of small integers, for the Euclidean distances."""
    return torch.randint(-2, 3, (rows, dim), device=device).to(dtype)


def corners(rows, dim, device="cpu", dtype=torch.float64) -> Tensor:
    """Rows of -1 and 1. If dim is a power of 4, their cosines are also exact."""
    return whole(rows, dim, device).ge(0).to(dtype) * 2 - 1


def exact_rows(rng: np.random.Generator, rows: int, dim: int, metric: str, dtype) -> Tensor:
    """Rows with exact distances by the metric; some rows are equal and some are zero."""
    if metric == "cosine":  # dim must be a power of 4, so that all lengths are powers of 2
        most = 3 if dtype == torch.float16 else 20
        x = rng.choice([-1.0, 1.0], (rows, dim)) * 2.0 ** rng.integers(-most, most, (rows, 1))
    else:
        x = rng.integers(-2, 3, (rows, dim)) + rng.choice([0, 3]) * 1.0
    if rows and rng.random() < 0.5:
        x = x[rng.integers(0, rng.integers(1, rows + 1), rows)]
    x[rng.random(rows) < 0.05] = 0
    return torch.tensor(x).to(dtype)
