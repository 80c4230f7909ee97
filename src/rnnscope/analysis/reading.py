"""A run reading a text: the tokens, the states of all units, and the predictions."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from rnnscope.analysis.detectors import detect
from rnnscope.analysis.unit_ranking import Ranking, rank_units
from rnnscope.data.vocabulary import Vocabulary
from rnnscope.errors import UserError
from rnnscope.runs.load import LoadedRun, Tokens
from rnnscope.runs.snapshot import build_model, model_config

TWIN_SEED = 1


@dataclass(frozen=True)
class Reading:
    """A run and a text that it reads.

    Args:
        run: its model may be on a GPU.
        text: as given, which is cleaned like the training text before it is read; or ids, START first.
    """

    run: LoadedRun
    text: Tokens

    @cached_property
    def ids(self) -> np.ndarray:
        """The tokens, (time,)."""
        return self.run.ids(self.text).astype(np.int64)

    @cached_property
    def states(self) -> dict[str, np.ndarray]:
        """The states and gates after each token: (time, layer, unit) by name; see `LoadedRun.states`."""
        return self.run.states(self.text)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """The predicted probabilities after each token: (time, V)."""
        return self.run.probabilities(self.text)

    @property
    def losses(self) -> np.ndarray:
        """The loss on the token after each, in nats, (time - 1,)."""
        after = self.probabilities[np.arange(len(self.ids) - 1), self.ids[1:]]
        return -np.log(np.maximum(after, np.finfo(np.float32).tiny))

    @property
    def signal_name(self) -> str:
        """Which value of a unit is shown and ranked: tanh of the cell state, else the hidden state."""
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
        """The values of the detectors after the last character of each token, (time,) by name."""
        text, ends = spelled_out(self.run.vocabulary, self.ids)
        return {name: values[ends] for name, values in detect(text).items()}

    @cached_property
    def ranking(self) -> Ranking:
        """How well each unit follows each detector."""
        return rank_units(self.signal, self.detectors)


def untrained_twin(run: LoadedRun) -> LoadedRun:
    """Return the run with a newly initialized model of the same config, as a control: nothing in it was learned."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(TWIN_SEED)
        model = build_model(model_config(run.config, str(run.folder.config)), len(run.vocabulary))
    return replace(run, model=model.to(run.model.head.weight.device).eval())


def spelled_out(vocabulary: Vocabulary, ids: np.ndarray) -> tuple[str, np.ndarray]:
    """Return the text of tokens, and the index of the last character of each token, (time,).

    A byte becomes the character with that code, so that every token has one; END is a line end, and START adds nothing.
    """
    if vocabulary.level == "byte":
        return bytes(ids.tolist()).decode("latin-1"), np.arange(len(ids))
    before = " " if vocabulary.level == "word" and vocabulary.words != "lossless" else ""
    special = {vocabulary.unk: "\ufffd", vocabulary.start: "", vocabulary.end: "\n"}
    pieces = [special[id] if id in special else before + vocabulary.tokens[id] for id in ids.tolist()]
    return "".join(pieces) or "\n", np.maximum(np.cumsum([len(piece) for piece in pieces]) - 1, 0)


def find_unit(typed: str, sizes: list[int]) -> int:
    """Return the index among all units, layer by layer, of the unit `layer:unit`; both count from 0.

    Args:
        sizes: the units of each layer.

    Raises:
        UserError: if the model does not have it.
    """
    layer, _, unit = typed.partition(":")
    if not (layer.isdecimal() and unit.isdecimal() and int(layer) < len(sizes) and int(unit) < sizes[int(layer)]):
        raise UserError(f"unit={typed} does not exist: this model has 0:0 to {len(sizes) - 1}:{sizes[-1] - 1} (layer:unit)")
    return sum(sizes[: int(layer)]) + int(unit)
