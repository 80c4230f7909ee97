"""A whole optimizer step as a CUDA graph: one launch instead of hundreds, with bit-identical results.

A step of a small recurrent network on a GPU is launch-bound: the GPU waits for the host. A graph is recorded once for
each shape of window, and replayed on tensors at fixed addresses: ids, carried state, learning rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rnnscope.model.language_model import State, map_state, parts
from rnnscope.training.optimizer_step import OptimizerStep, Outcome

WARM_UP = 2  # steps before a recording, in which cuDNN and cuBLAS choose their kernels and allocate their workspaces


@dataclass
class Recording:
    """A graph with its inputs and outputs.

    Args:
        inputs, targets: ids, (time, batch).
        numbers: nats, correct, penalty, clipping and gradient norm of the last step: (5,) float64, which holds all of them
            exactly.
    """

    inputs: Tensor
    targets: Tensor
    graph: torch.cuda.CUDAGraph = field(default_factory=torch.cuda.CUDAGraph)
    numbers: Tensor = field(default_factory=lambda: torch.empty(0))


class GraphedStep:
    """Replaces an `OptimizerStep`: it is called in the same way, and replays the step as a graph.

    The optimizer's learning rate must be a tensor on the device, and `step` must have no `collectives`. Random numbers come
    from the device's default generator, as they do without a graph.

    Args:
        resets: whether columns of the carried state may be reset to zero: then the mask is part of the graph.
    """

    def __init__(self, step: OptimizerStep, resets: bool) -> None:
        assert step.collectives is None, "processes exchange gradients in the middle of a step"
        self.step, self.resets = step, resets
        self._recordings: dict[torch.Size, Recording] = {}
        self._pool: Any = None  # of memory, which all graphs share: one runs at a time
        self._state: State | None = None  # the carried state, read and written by every graph
        self._kept, self._share = torch.empty(0), torch.empty(0)
        self._shared: Tensor | None = None  # what `_share` was filled from

    def __call__(
        self, inputs: Tensor, targets: Tensor, state: State | None, kept: Tensor | None, share: Tensor, look: bool
    ) -> Outcome:
        """Take the step, as `OptimizerStep` does. The tensors of the returned state are the same in every call."""
        recording = self._recordings.get(inputs.shape) or self._record(inputs, targets, share)
        recording.inputs.copy_(inputs)
        recording.targets.copy_(targets)
        self._load(state, kept, share)
        recording.graph.replay()
        nats, correct, penalty, clipping, norm = recording.numbers.clone().unbind()  # the next replay writes over them
        assert self._state is not None
        known = penalty if self.step.penalties else None, clipping if self.step.clips else None
        return Outcome(self._state, nats, correct, *known, norm)

    def _load(self, state: State | None, kept: Tensor | None, share: Tensor) -> None:
        """Copy what this step starts from to where the graphs read it."""
        assert self._state is not None
        if state is None:
            for part in parts(self._state):
                part.zero_()
        elif state is not self._state:
            copy_all(parts(self._state), parts(state))
        if self.resets:
            self._kept.fill_(1) if kept is None else self._kept.copy_(kept)
        if share is not self._shared:
            self._share.copy_(share)
            self._shared = share

    def _record(self, inputs: Tensor, targets: Tensor, share: Tensor) -> Recording:
        """Record a step on windows of this shape. Weights, optimizer, state and random numbers are restored afterwards."""
        recording = Recording(inputs.clone(), targets.clone())
        before = Snapshot(self.step, self._state)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            if self._state is None:
                self._make_room(recording, share)
            for _ in range(WARM_UP):
                self._body(recording)
        torch.cuda.current_stream().wait_stream(stream)
        before.restore(self._state)
        for parameter in self.step.parameters:
            parameter.grad = None
        with torch.cuda.graph(recording.graph, pool=self._pool):
            recording.numbers = self._body(recording)
        for parameter in self.step.parameters:
            parameter.grad = None  # its memory belongs to the graph
        self._pool = recording.graph.pool()
        before.restore(self._state)
        self._recordings[inputs.shape] = recording
        return recording

    def _make_room(self, recording: Recording, share: Tensor) -> None:
        """Take a step from zero, and allocate a state like the one that it returns."""
        state = self.step(recording.inputs, recording.targets, None, None, share, True).state
        self._state = map_state(torch.zeros_like, state)
        first = parts(self._state)[0]
        self._share, self._kept = share.clone(), first.new_ones(first.shape[1], 1)

    def _body(self, recording: Recording) -> Tensor:
        """Take the step on the tensors at fixed addresses, and return its numbers."""
        assert self._state is not None
        kept = self._kept if self.resets else None
        outcome = self.step(recording.inputs, recording.targets, self._state, kept, self._share, True)
        copy_all(parts(self._state), parts(outcome.state))
        zero = outcome.nats.new_zeros(())
        numbers = (outcome.nats, outcome.correct, outcome.penalty, outcome.clipping, outcome.gradient_norm)
        return torch.stack([(zero if number is None else number).double() for number in numbers])


class Snapshot:
    """Everything that a step changes, as it was."""

    def __init__(self, step: OptimizerStep, state: State | None) -> None:
        self.step = step
        self._weights = [parameter.detach().clone() for parameter in step.parameters]
        self._moments = {
            parameter: {key: value.clone() for key, value in values.items() if isinstance(value, Tensor)}
            for parameter, values in step.optimizer.state.items()
        }
        self._state = [part.clone() for part in parts(state)] if state is not None else None
        self._random = torch.cuda.get_rng_state()

    @torch.no_grad()
    def restore(self, state: State | None) -> None:
        """Restore everything in place; what was created since, such as the moments of an optimizer, starts from zero."""
        copy_all(self.step.parameters, self._weights)
        for parameter, values in self.step.optimizer.state.items():
            before = self._moments.get(parameter, {})
            for key, value in values.items():
                if isinstance(value, Tensor):
                    value.copy_(before[key]) if key in before else value.zero_()
        if state is not None and self._state is not None:
            copy_all(parts(state), self._state)
        torch.cuda.set_rng_state(self._random)


def copy_all(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Fill each target in place."""
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
