"""Generated text while training, at several temperatures, to TensorBoard, samples.jsonl and the terminal."""

from collections.abc import Callable
from dataclasses import dataclass

from rnnscope.model.drawing import SamplingOptions
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.sampling import generate
from rnnscope.monitor.recorder import Journal
from rnnscope.monitor.tensorboard import TensorBoardWriter
from rnnscope.monitor.validation import due
from rnnscope.training.callback import Callback
from rnnscope.training.task import LanguageModelTask


@dataclass(frozen=True)
class Sampler:
    """Generates the texts of a step.

    Args:
        prompt: text that samples begin with.
        prompt_ids: its ids, after what stands before any text.
        length: tokens generated after the prompt.
        temperatures: one sample each.
        options: among which tokens is drawn.
        decode: ids to text.
        seed: of the run; together with the step it decides the draws.
    """

    prompt: str
    prompt_ids: list[int]
    length: int
    temperatures: list[float]
    options: SamplingOptions
    decode: Callable[[list[int]], str]
    seed: int

    def texts(self, model: LanguageModel, step: int) -> list[str]:
        """Return what `model` writes after the prompt, a text for each temperature."""
        seed = (self.seed * 1_000_003 + step) % 2**63
        rows = list(generate(model, self.prompt_ids, self.length, self.temperatures, self.options, seed))
        columns = zip(*rows, strict=True)
        return [self.decode([id for id in column if id is not None]) for column in columns]


class SampleWriter(Callback):
    """Every `every` steps and at the end, writes the texts of `sampler`; `show` puts one of them on the terminal."""

    name = "Samples"

    def __init__(
        self,
        sampler: Sampler,
        every: int,
        board: TensorBoardWriter,
        file: Journal,
        show: Callable[[int, float, str], None],
    ) -> None:
        self.sampler, self.every, self.board, self.file, self.show = sampler, every, board, file, show

    def after_step(self, task: LanguageModelTask) -> None:
        if not due(task, self.every):
            return
        prompt, temperatures = self.sampler.prompt, self.sampler.temperatures
        texts = self.sampler.texts(task.model, task.step)
        for temperature, text in zip(temperatures, texts, strict=True):
            self.file.append({"step": task.step, "prompt": prompt, "temperature": temperature, "text": text})
            self.board.text(task.step, f"samples/temperature_{temperature}", prompt + text)
        if texts:
            middle = len(texts) // 2
            self.show(task.step, temperatures[middle], prompt + texts[middle])
