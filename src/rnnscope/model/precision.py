"""The device and precision of a training: fixed rules, so that the same machine always makes the same choice."""

import contextlib
import os
import platform
from contextlib import AbstractContextManager

import torch

from rnnscope.cores import core_count
from rnnscope.errors import UserError, unknown_value
from rnnscope.model.cells.cell import Cell

ACCELERATORS = ("auto", "cpu", "gpu")
PRECISIONS = ("auto", "float32", "bf16")
CUDNN_WITH_BF16 = 91300  # cuDNN 9.13: the first whose recurrent kernels take bf16


def resolve_device(accelerator: str, key: str = "trainer.accelerator") -> torch.device:
    """Return the device for `auto`, `cpu` or `gpu`.

    Raises:
        UserError: if a GPU is asked for and there is none.
    """
    if accelerator not in ACCELERATORS:
        raise UserError(unknown_value(key, accelerator, ACCELERATORS))
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise UserError(f"{key}=gpu, but torch finds no GPU here: set {key}=cpu, or install torch for CUDA")
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def resolve_precision(
    precision: str, device: torch.device, cell: Cell, hidden_size: int, key: str = "trainer.precision"
) -> str:
    """Return `float32` or `bf16`; `auto` selects bf16 if this cell is faster with it.

    Weights, gradients and optimizer are float32 in any case.
    """
    if precision not in PRECISIONS:
        raise UserError(unknown_value(key, precision, PRECISIONS))
    if precision != "auto":
        return precision
    if device.type == "cuda":
        cudnn = torch.backends.cudnn.version() or 0
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) and cudnn >= CUDNN_WITH_BF16 else "float32"
    return "bf16" if has_fast_bf16() and hidden_size >= cell.bf16_from else "float32"


# Speed of training in bf16 relative to float32. AMX: two cores, with torch's own kernels; AMD: two cores, and Intel without
# AMX: one thread, both with rnnscope's own functions. `rnnscope bench` prints these figures for the machine that it runs on.
#
#                  AMX        AMD EPYC, avx512_bf16    Intel Xeon, avx512_bf16 without AMX
#                  1x512      2x128    1x512           2x128    1x512
#   lstm           3          1.6      1.8             0.64     0.49
#   gru            above 1    1.0      1.7             0.54     0.55
#   rnn            above 1    0.8      1.6             0.47     0.52
#   peephole_lstm  -          1.1      1.7             0.51     0.55
#   mogrifier_lstm -          0.8      1.8             -        -
def has_fast_bf16() -> bool:
    """Whether this CPU multiplies matrices faster in bf16 than in float32: with AMX, or with avx512_bf16 on AMD."""
    has = getattr(torch.cpu, "get_capabilities", dict)()  # missing in older versions of torch
    amd = "AMD" in has.get("cpu_name", "") and has.get("avx512_bf16", False)
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(amd or (probe and platform.machine() == "x86_64" and probe()))


def autocast(device_type: str, precision: str) -> AbstractContextManager:
    """Return the context in which the forward pass runs."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device_type, torch.bfloat16)


def resolve_threads(threads: int | None) -> int:
    """Return the number of CPU threads: `threads`, else one for each core that this process may use."""
    if threads is not None and threads < 1:
        raise UserError(f"trainer.threads={threads} must be at least 1, or null for one per core")
    return threads or core_count()


def prepare_torch(threads: int, deterministic: bool) -> None:
    """Set torch's threads and determinism for this process, before the first tensor is created."""
    torch.set_num_threads(threads)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
    torch.use_deterministic_algorithms(deterministic)
    # this would fill every new tensor; no uninitialized one is read here
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
