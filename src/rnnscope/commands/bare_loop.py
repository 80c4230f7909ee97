"""The yardstick: the same model, data, precision and update as the pipeline, with nothing around them.

torch only; the ids lie in memory as columns, sliced and not gathered; no value is ever read back to Python; fused
optimiser, one module a layer in torch's own (time, batch) order, gradients dropped instead of zeroed.
"""

import time
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import nn


class BareLoop:
    """An LSTM language model trained on `columns` (time, batch) of ids: how often a token comes costs time too."""

    def __init__(self, columns: torch.Tensor, vocabulary_size: int, hidden: int, layers: int, steps: int, bf16: bool) -> None:
        self.columns, self.time_steps, self.layers, self.device = columns, steps, layers, columns.device
        sizes = {"embedding": nn.Embedding(vocabulary_size, hidden), "head": nn.Linear(hidden, vocabulary_size)}
        self.parts = nn.ModuleDict(sizes | {str(k): nn.LSTM(hidden, hidden) for k in range(layers)}).to(self.device)
        self.parameters = list(self.parts.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-3, fused=True)
        self.autocast = torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext()
        self.state: list = [None] * layers
        self.step = 0

    def train(self, seconds: float) -> tuple[int, float]:
        """Train for about `seconds`; return how many tokens it was, and the exact seconds."""
        steps, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            self.train_step()
            steps += 1
            if self.device.type == "cuda" and steps % 10 == 0:
                torch.cuda.synchronize()  # the clock has to see the work, as the pipeline's does at its points
        return steps * self.time_steps * self.columns.shape[1], time.perf_counter() - begin

    def train_step(self) -> None:
        """One window: forward, backward, clip, update."""
        start = self.step % ((len(self.columns) - 1) // self.time_steps) * self.time_steps
        inputs, targets = self.columns[start : start + self.time_steps], self.columns[start + 1 : start + 1 + self.time_steps]
        with self.autocast:
            hidden = self.parts["embedding"](inputs)
            for k in range(self.layers):
                hidden, (h, c) = self.parts[str(k)](hidden, self.state[k])
                self.state[k] = (h.detach(), c.detach())
            logits = self.parts["head"](hidden)
        for parameter in self.parameters:
            parameter.grad = None  # what optimizer.zero_grad does, in a tenth of the time
        F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten()).backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        self.optimizer.step()
        self.step += 1
