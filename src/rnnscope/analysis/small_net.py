"""A network of a few units with all its numbers, before and after one update, as Karpathy (2015) draws "hello"."""

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from rnnscope.data.vocabulary import Vocabulary
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.tracing import trace

MOST_UNITS = 8
STEPS = 6  # tokens that are shown
LR = 0.1


def is_small(model: LanguageModel) -> bool:
    """Whether a model has few enough units to draw all of them."""
    return sum(model.sizes) <= MOST_UNITS


def drawing(model: LanguageModel, vocabulary: Vocabulary, ids: np.ndarray) -> dict[str, Any]:
    """Return plain data from which inside.js draws a small model at the first tokens of `ids` (time,), read after START.

    They end before the next START, if there is one: a new sample begins with a zero state.

    The scores are those of the tokens that occur there; the update is one step of gradient descent on them.
    """
    again = np.flatnonzero(ids[2:] == vocabulary.start) + 2
    ids = ids[: min([STEPS + 1, *again.tolist()])]
    begun = torch.from_numpy(np.insert(ids, 0, vocabulary.start))
    shown = sorted(set(ids.tolist()))
    updated = copy.deepcopy(model)
    with torch.enable_grad():
        _losses(updated, begun).mean().backward()
    with torch.no_grad():
        for parameter in updated.parameters():
            if parameter.grad is not None:
                parameter -= LR * parameter.grad
    return {
        "note": f"The first {len(ids) - 1} tokens, from below: which of the tokens shown it is, what every unit then holds, and"
        " the score of each next token, the right one in green. Beside it the same after one step of gradient descent on these"
        f" tokens (lr {LR:g}).",
        "tokens": [vocabulary.tokens[id] for id in ids[:-1].tolist()],
        "shown": [vocabulary.tokens[id] for id in shown],
        "targets": [shown.index(id) for id in ids[1:].tolist()],
        "inputs": [[int(id == other) for other in shown] for id in ids[:-1].tolist()],
        "sides": [_side("before", model, begun, shown), _side("after one update", updated, begun, shown)],
    }


def _side(title: str, model: LanguageModel, begun: torch.Tensor, shown: list[int]) -> dict[str, Any]:
    """Return what a model holds and scores at each token after START but the last."""
    with torch.no_grad():
        found = trace(model, begun[:-1, None])
        scores = model.head(found.output)[1:, 0, shown]
        hidden = torch.cat([torch.stack([at["hidden"][0] for at in layer[1:]]) for layer in found.layers], 1)
        losses = _losses(model, begun)
    values = {"scores": scores, "hidden": hidden, "losses": losses}
    return {"title": title, **{name: np.round(value.numpy(), 3).tolist() for name, value in values.items()}}


def _losses(model: LanguageModel, begun: torch.Tensor) -> torch.Tensor:
    """Return the nats that each token but the first after START costs."""
    logits, _ = model.read(begun[:-1, None])
    return F.cross_entropy(logits[1:, 0], begun[2:], reduction="none")
