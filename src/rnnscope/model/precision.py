"""Which device and which number format a training uses: static rules, so that the same machine always decides alike."""

import contextlib
import os
import platform
from contextlib import AbstractContextManager

import torch

from rnnscope.cores import core_count
from rnnscope.errors import UserError
from rnnscope.model.cells.cell import Cell

ACCELERATORS = ("auto", "cpu", "gpu")
PRECISIONS = ("auto", "float32", "bf16")
CUDNN_WITH_BF16 = 91300  # cuDNN 9.13: the first whose recurrent kernels take bf16


def resolve_device(accelerator: str) -> torch.device:
    """Return the device for `auto`, `cpu` or `gpu`.

    Raises:
        UserError: when a GPU is asked for and there is none.
    """
    if accelerator not in ACCELERATORS:
        raise UserError(f"trainer.accelerator={accelerator} is unknown: choose one of {', '.join(ACCELERATORS)}")
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise UserError("trainer.accelerator=gpu, but torch finds no GPU here: use trainer=cpu, or install torch for CUDA")
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def resolve_precision(
    precision: str, device: torch.device, cell: Cell, hidden_size: int, key: str = "trainer.precision"
) -> str:
    """Return `float32` or `bf16`; `auto` takes bf16 where matrix units make this cell faster with it.

    On a CPU that means AMX. Weights, gradients and optimizer stay float32 either way.
    """
    if precision not in PRECISIONS:
        raise UserError(f"{key}={precision} is unknown: choose one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        cudnn = torch.backends.cudnn.version() or 0
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) and cudnn >= CUDNN_WITH_BF16 else "float32"
    return "bf16" if has_matrix_units() and hidden_size >= cell.bf16_from else "float32"


def has_matrix_units() -> bool:
    """Whether this CPU multiplies bf16 matrices in hardware (Intel's AMX)."""
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(probe and platform.machine() == "x86_64" and probe())


def autocast(device_type: str, precision: str) -> AbstractContextManager:
    """Return the context in which the forward pass runs."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device_type, torch.bfloat16)


def resolve_threads(threads: int | None) -> int:
    """Return the number of CPU threads: as asked, else one for each core this process may use."""
    if threads is not None and threads < 1:
        raise UserError(f"trainer.threads={threads} must be at least 1, or null for one a core")
    return threads or core_count()


def prepare_torch(threads: int, deterministic: bool) -> None:
    """Set torch's threads and determinism for this process, before the first tensor is made."""
    torch.set_num_threads(threads)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats its sums only with a fixed workspace
    torch.use_deterministic_algorithms(deterministic)
    # it would fill every new tensor; nothing here reads one unwritten
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
