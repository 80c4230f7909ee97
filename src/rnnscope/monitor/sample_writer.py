"""Samples during training, at several temperatures, to TensorBoard, samples.jsonl and the terminal."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnnscope.model.language_model import LanguageModel
from rnnscope.monitor.recorder import Journal
from rnnscope.monitor.tensorboard import TensorBoardWriter
from rnnscope.monitor.validation import due
from rnnscope.training.callback import Callback
from rnnscope.training.task import LanguageModelTask


@dataclass(frozen=True)
class Sampler:
    """Generates the texts of a step.

    Args:
        prompt: the text that samples begin with.
        length: tokens generated after the prompt; 0 for no samples.
        temperatures: for each of them, there is a card of texts.
        cards: returns the texts of each card, from the model, all of the above and a seed.
        seed: of the run; together with the step, it decides the draws.
        alone: whether each text is a sample by itself, so that a card has several.
    """

    prompt: str
    length: int
    temperatures: list[float]
    cards: Callable[[LanguageModel, str, int, list[float], int], list[list[str]]]
    seed: int
    alone: bool

    def samples(self, model: LanguageModel, step: int) -> list[dict[str, Any]]:
        """Return what `model` writes after the prompt at each temperature, as in samples.jsonl: a line for each card."""
        seed = (self.seed * 1_000_003 + step) % 2**63
        cards = self.cards(model, self.prompt, self.length, self.temperatures, seed)
        return [self._sample(step, heat, texts) for heat, texts in zip(self.temperatures, cards, strict=True)]

    def _sample(self, step: int, temperature: float, texts: list[str]) -> dict[str, Any]:
        between = "\n\n" if any("\n" in text for text in texts) else "\n"
        sample = {"step": step, "prompt": self.prompt, "temperature": temperature}
        return sample | {"text": (between + self.prompt).join(texts)} | ({"texts": len(texts)} if self.alone else {})


@dataclass(eq=False)
class SampleWriter(Callback):
    """Writes the texts of `sampler` every `every` steps and at the end; `show` prints one of them."""

    name = "Samples"
    sampler: Sampler
    every: int
    board: TensorBoardWriter
    file: Journal
    show: Callable[[int, float, str], None]

    def after_step(self, task: LanguageModelTask) -> None:
        if not (self.sampler.length and due(task, self.every)):
            return
        with task.evaluated():
            samples = self.sampler.samples(task.model, task.step)
        for sample in samples:
            self.file.append(sample)
            self.board.text(task.step, f"samples/temperature_{sample['temperature']}", sample["prompt"] + sample["text"])
        if samples:
            middle = samples[len(samples) // 2]
            self.show(task.step, middle["temperature"], middle["prompt"] + middle["text"])
