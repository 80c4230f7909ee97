"""A run's way through a text: its tokens, what every unit did at each of them, and what the model expected next."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from rnnscope.analysis.detectors import detect
from rnnscope.analysis.unit_ranking import Ranking, rank_units
from rnnscope.data.vocabulary import Vocabulary
from rnnscope.errors import UserError
from rnnscope.runs.load import LoadedRun
from rnnscope.runs.snapshot import build_model, model_config

TWIN_SEED = 1


@dataclass(frozen=True)
class Reading:
    """What a run makes of a text.

    Args:
        run: it is read by; its model may be on a GPU.
        text: as given; cleaned as the training text was before it is read.
    """

    run: LoadedRun
    text: str

    @cached_property
    def ids(self) -> np.ndarray:
        """The tokens, (time,)."""
        return self.run.ids(self.text).astype(np.int64)

    @cached_property
    def states(self) -> dict[str, np.ndarray]:
        """What each unit did after each token: (time, layer, unit) by name; see `LoadedRun.states`."""
        return self.run.states(self.text)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """What was expected after each token: (time, V)."""
        return self.run.probabilities(self.text)

    @property
    def losses(self) -> np.ndarray:
        """The nats that the model lost on the token after each, (time - 1,)."""
        after = self.probabilities[np.arange(len(self.ids) - 1), self.ids[1:]]
        return -np.log(np.maximum(after, np.finfo(np.float32).tiny))

    @property
    def signal_name(self) -> str:
        """Which of a unit's values is looked at first: the cell as it is shown to the output gate, else the hidden state."""
        return "tanh of the cell state" if "cell" in self.states else "hidden state"

    @cached_property
    def signal(self) -> np.ndarray:
        """That value of all units, layer by layer, between -1 and 1: (time, units)."""
        return np.tanh(self.of_units("cell")) if "cell" in self.states else self.of_units("hidden")

    def of_units(self, name: str) -> np.ndarray:
        """Return one of the states of all units, layer by layer: (time, units)."""
        sizes, values = self.run.model.sizes, self.states[name]
        return np.concatenate([values[:, layer, :size] for layer, size in enumerate(sizes)], axis=1)

    @cached_property
    def detectors(self) -> dict[str, np.ndarray]:
        """What holds after each token, (time,) by name of the detector: what holds after its last character."""
        text, ends = spelled_out(self.run.vocabulary, self.ids)
        return {name: values[ends] for name, values in detect(text).items()}

    @cached_property
    def ranking(self) -> Ranking:
        """How well each unit follows each detector."""
        return rank_units(self.signal, self.detectors)


def untrained_twin(run: LoadedRun) -> LoadedRun:
    """Return the run with a fresh model of the same config: what its units follow was not learned."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(TWIN_SEED)
        model = build_model(model_config(run.config, str(run.folder.config)), len(run.vocabulary))
    return replace(run, model=model.to(run.model.head.weight.device).eval())


def spelled_out(vocabulary: Vocabulary, ids: np.ndarray) -> tuple[str, np.ndarray]:
    """Return tokens as a text, and where in it the last character of each token is, (time,).

    A byte is the character of that code, so that every token has one; END is a line end, and START adds nothing.
    """
    if vocabulary.level == "byte":
        return bytes(ids.tolist()).decode("latin-1"), np.arange(len(ids))
    before = " " if vocabulary.level == "word" and vocabulary.words != "lossless" else ""
    special = {vocabulary.unk: "\ufffd", vocabulary.start: "", vocabulary.end: "\n"}
    pieces = [special[id] if id in special else before + vocabulary.tokens[id] for id in ids.tolist()]
    return "".join(pieces) or "\n", np.maximum(np.cumsum([len(piece) for piece in pieces]) - 1, 0)


def find_unit(typed: str, sizes: list[int]) -> int:
    """Return the place among all units, layer by layer, of the one that `layer:unit` names; both count from 0.

    Args:
        sizes: the units of each layer.

    Raises:
        UserError: when the model does not have it.
    """
    layer, _, unit = typed.partition(":")
    if not (layer.isdecimal() and unit.isdecimal() and int(layer) < len(sizes) and int(unit) < sizes[int(layer)]):
        raise UserError(f"unit={typed} does not exist: this model has 0:0 to {len(sizes) - 1}:{sizes[-1] - 1} (layer:unit)")
    return sum(sizes[: int(layer)]) + int(unit)
