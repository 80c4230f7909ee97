"""How close training comes to the speed of a matrix product, in floating-point operations per second."""

import time

import torch
from torch import Tensor

from rnnscope.model.language_model import LanguageModel

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
TURNS = 20  # the fastest counts, as other work on the machine only slows


def product_rate(rows: int, hidden: int, precision: str, device: torch.device) -> float:
    """Return the operations per second of a product (rows, hidden) x (hidden, 4 hidden), the input product of an LSTM."""
    left = torch.randn(rows, hidden, device=device, dtype=DTYPES[precision])
    right = torch.randn(hidden, 4 * hidden, device=device, dtype=DTYPES[precision])
    fastest = min(_seconds(left, right) for _ in range(TURNS))
    return 2 * rows * hidden * 4 * hidden / fastest


def operations_per_token(model: LanguageModel) -> int:
    """Return the floating-point operations per token in training: for each weight of a matrix, 2 forward and 4 backward.

    The embedding is looked up, which needs none.
    """
    matrices = [
        weights for name, weights in model.named_parameters() if weights.dim() == 2 and not name.startswith("embedding")
    ]
    return 6 * sum(weights.numel() for weights in matrices)


def _seconds(left: Tensor, right: Tensor) -> float:
    begin = time.perf_counter()
    torch.mm(left, right)
    if left.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begin
