"""Generated text while training, at several temperatures, to TensorBoard, samples.jsonl and the terminal."""

from collections.abc import Callable
from typing import Any, Protocol

from rnnscope.model.sampling import Choice, generate
from rnnscope.monitor.board import Board
from rnnscope.monitor.monitors import Monitor
from rnnscope.monitor.validation import due
from rnnscope.training.task import LanguageModelTask


class Lines(Protocol):
    """An open JSON-lines file."""

    def append(self, values: dict[str, Any]) -> None: ...


class Samples(Monitor):
    """Every `every` steps and at the end, one text for each temperature, drawn from a generator of their own.

    Args:
        every: optimiser steps between samples.
        prompt: text that samples begin with, and `prompt_ids` its ids.
        length: tokens generated after the prompt.
        choices: how tokens are drawn, one sample each.
        decode: ids to text.
        seed: of the run; together with the step it decides the draws.
        show: puts one sample on the terminal.
    """

    def __init__(
        self,
        board: Board,
        file: Lines,
        every: int,
        prompt: str,
        prompt_ids: list[int],
        length: int,
        choices: list[Choice],
        decode: Callable[[list[int]], str],
        seed: int,
        show: Callable[[int, float, str], None],
    ) -> None:
        self.board, self.file, self.every = board, file, every
        self.prompt, self.prompt_ids, self.length, self.choices = prompt, prompt_ids, length, choices
        self.decode, self.seed, self.show = decode, seed, show

    def after_step(self, task: LanguageModelTask) -> None:
        if not due(task, self.every):
            return
        texts = [self._sample(task, choice) for choice in self.choices]
        for choice, text in zip(self.choices, texts, strict=True):
            self.file.append({"step": task.step, "prompt": self.prompt, "temperature": choice.temperature, "text": text})
            self.board.text(task.step, f"samples/temperature_{choice.temperature}", self.prompt + text)
        if texts:
            middle = len(texts) // 2
            self.show(task.step, self.choices[middle].temperature, self.prompt + texts[middle])

    def _sample(self, task: LanguageModelTask, choice: Choice) -> str:
        seed = (self.seed * 1_000_003 + task.step) % 2**63
        ids = [row[0] for row in generate(task.model, self.prompt_ids, self.length, choice, seed)]
        return self.decode([id for id in ids if id is not None])
