"""The bare loop that rnnscope is compared with: the same model, data, precision and update, and nothing else.

It uses torch alone. The ids are in memory as columns, sliced rather than gathered; no value is read back to Python; the
optimizer is fused; each layer is one module in torch's own (time, batch) order; gradients are dropped rather than zeroed. On a
GPU the step is a CUDA graph.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BareLoop:
    """An LSTM language model trained on `columns` (time, batch) of ids; real ones, as their frequencies affect the speed."""

    def __init__(self, columns: Tensor, vocabulary_size: int, hidden: int, layers: int, steps: int, bf16: bool) -> None:
        self.columns, self.time_steps, self.layers, self.device = columns, steps, layers, columns.device
        sizes = {"embedding": nn.Embedding(vocabulary_size, hidden), "head": nn.Linear(hidden, vocabulary_size)}
        self.parts = nn.ModuleDict(sizes | {str(k): nn.LSTM(hidden, hidden) for k in range(layers)}).to(self.device)
        self.parameters, cuda = list(self.parts.parameters()), self.device.type == "cuda"
        rate = torch.tensor(1e-3, device=self.device) if cuda else 1e-3
        self.optimizer = torch.optim.AdamW(self.parameters, lr=rate, fused=True, capturable=cuda)
        self.autocast = torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext()
        self.state: list = [None] * layers
        self.step = 0
        self._take = self._recorded() if cuda else self._step

    def train(self, seconds: float, stopped: Callable[[], bool] = lambda: False) -> tuple[int, float]:
        """Train for about `seconds`, or until `stopped()`; return the number of tokens and the exact seconds."""
        steps, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds and not stopped():
            self._take(*self._window())
            steps, self.step = steps + 1, self.step + 1
            if self.device.type == "cuda" and steps % 100 == 0:
                torch.cuda.synchronize()  # else the clock would stop long before the GPU has finished
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return steps * self.time_steps * self.columns.shape[1], time.perf_counter() - begin

    def _window(self) -> tuple[Tensor, Tensor]:
        start = self.step % ((len(self.columns) - 1) // self.time_steps) * self.time_steps
        return self.columns[start : start + self.time_steps], self.columns[start + 1 : start + 1 + self.time_steps]

    def _step(self, inputs: Tensor, targets: Tensor) -> None:
        """Train on one window: forward, backward, clip, update."""
        with self.autocast:
            hidden = self.parts["embedding"](inputs)
            for k in range(self.layers):
                hidden, (h, c) = self.parts[str(k)](hidden, self.state[k])
                self.state[k] = (h.detach(), c.detach())
            logits = self.parts["head"](hidden)
        for parameter in self.parameters:
            parameter.grad = None  # the effect of optimizer.zero_grad, in a tenth of the time
        F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten()).backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        self.optimizer.step()

    def _recorded(self) -> Callable[[Tensor, Tensor], None]:
        """Return a function that replays the step on a window as a CUDA graph."""
        inputs, targets = (ids.clone() for ids in self._window())
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._step(inputs, targets)
        torch.cuda.current_stream().wait_stream(stream)
        kept, graph = self.state, torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.state = list(kept)
            self._step(inputs, targets)
            for old, new in zip(kept, self.state, strict=True):
                old[0].copy_(new[0])
                old[1].copy_(new[1])

        def replay(new_inputs: Tensor, new_targets: Tensor) -> None:
            inputs.copy_(new_inputs)
            targets.copy_(new_targets)
            graph.replay()

        return replay
