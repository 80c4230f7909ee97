"""How much of what the machine can compute training uses: its floating-point operations beside those of a matrix product."""

import time

import torch
from torch import Tensor

from rnnscope.model.language_model import LanguageModel

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
TURNS = 20  # of which the fastest counts: other work on the machine only slows


def product_rate(rows: int, hidden: int, precision: str, device: torch.device) -> float:
    """Return the operations per second of a product (rows, hidden) x (hidden, 4 hidden): the input product of an LSTM."""
    left = torch.randn(rows, hidden, device=device, dtype=DTYPES[precision])
    right = torch.randn(hidden, 4 * hidden, device=device, dtype=DTYPES[precision])
    fastest = min(_seconds(left, right) for _ in range(TURNS))
    return 2 * rows * hidden * 4 * hidden / fastest


def operations_per_token(model: LanguageModel) -> int:
    """Return the floating-point operations of a token in training: 2 for each weight of a matrix forward, twice that backward.

    The embedding is looked up, which takes none.
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
