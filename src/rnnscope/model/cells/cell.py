"""What the model, sampling, precision rules and checkpoints ask of a recurrence."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

Step = Callable[[Tensor, tuple[Tensor, ...], Tensor, Tensor], tuple[Tensor, ...]]
StepWithGates = Callable[[Tensor, tuple[Tensor, ...], Tensor, Tensor], tuple[dict[str, Tensor], tuple[Tensor, ...]]]
CANDIDATE = "candidate"  # the name of what is not a share between 0 and 1 among the gates


@dataclass(frozen=True)
class Cell:
    """A recurrence: one layer over a whole window, on the fastest kernels there are for it, state in, state out.

    `step(read, state, recurrent, recurrent_bias)` is that layer written out for one token. `read` (count, gates x
    hidden_size) is what the input gives the gates, with the input's bias; `state` has parts of (count, hidden_size);
    `recurrent` is (hidden_size, gates x hidden_size). It returns the next state, whose first part is what the layer writes.

    Args:
        name: in the config.
        layer: the class of one layer, made by `layer(input_size, hidden_size, bias=...)`.
        gates: matrices stacked in each of its weights.
        state_parts: tensors (1, batch, hidden_size) in its state; where there are several, the state is a tuple.
        step: the equations.
        bf16_from: units from which bf16 is faster than float32, on a CPU that has `precision.has_fast_bf16`.
        adds_biases: whether the biases of input and state are only ever added: `read` then has both.
        forget_gate: the gate that `model.forget_bias` is added to; None where there is none.
        step_with_gates: does as `step`, and returns in front of the next state what each gate lets through, (count,
            hidden_size) by name; what new there is to let through is `CANDIDATE`. None for a cell without gates.
    """

    name: str
    layer: Callable[..., nn.Module]
    gates: int
    state_parts: int
    step: Step
    bf16_from: int
    adds_biases: bool = True
    forget_gate: int | None = None
    step_with_gates: StepWithGates | None = None
