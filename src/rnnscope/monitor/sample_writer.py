"""Generated text while training, at several temperatures, to TensorBoard, samples.jsonl and the terminal."""

from collections.abc import Callable

from rnnscope.model.sampling import SamplingOptions, generate
from rnnscope.monitor.recorder import Journal
from rnnscope.monitor.tensorboard import TensorBoardWriter
from rnnscope.monitor.validation import due
from rnnscope.training.callback import Callback
from rnnscope.training.task import LanguageModelTask


class SampleWriter(Callback):
    """Every `every` steps and at the end, one text for each temperature, drawn from a generator of their own.

    Args:
        every: optimizer steps between samples.
        prompt: text that samples begin with, and `prompt_ids` its ids.
        length: tokens generated after the prompt.
        temperatures: one sample each.
        options: among which tokens is drawn.
        decode: ids to text.
        seed: of the run; together with the step it decides the draws.
        show: puts one sample on the terminal.
    """

    name = "Samples"

    def __init__(
        self,
        board: TensorBoardWriter,
        file: Journal,
        every: int,
        prompt: str,
        prompt_ids: list[int],
        length: int,
        temperatures: list[float],
        options: SamplingOptions,
        decode: Callable[[list[int]], str],
        seed: int,
        show: Callable[[int, float, str], None],
    ) -> None:
        self.board, self.file, self.every = board, file, every
        self.prompt, self.prompt_ids, self.length = prompt, prompt_ids, length
        self.temperatures, self.options = temperatures, options
        self.decode, self.seed, self.show = decode, seed, show

    def after_step(self, task: LanguageModelTask) -> None:
        if not due(task, self.every):
            return
        texts = self._texts(task)
        for temperature, text in zip(self.temperatures, texts, strict=True):
            self.file.append({"step": task.step, "prompt": self.prompt, "temperature": temperature, "text": text})
            self.board.text(task.step, f"samples/temperature_{temperature}", self.prompt + text)
        if texts:
            middle = len(texts) // 2
            self.show(task.step, self.temperatures[middle], self.prompt + texts[middle])

    def _texts(self, task: LanguageModelTask) -> list[str]:
        seed = (self.seed * 1_000_003 + task.step) % 2**63
        rows = list(generate(task.model, self.prompt_ids, self.length, self.temperatures, self.options, seed))
        columns = zip(*rows, strict=True)
        return [self.decode([id for id in column if id is not None]) for column in columns]
