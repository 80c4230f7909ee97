"""The page of `rnnscope visualize`: a text colored by what a unit does, with the units ranked by number."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnscope.analysis.detectors import GRADED
from rnnscope.analysis.reading import Reading, untrained_twin
from rnnscope.analysis.unit_ranking import LEAST, MARGIN, THRESHOLD, Ranking
from rnnscope.runs.find import typed_name
from rnnscope.web_page import escaped, script_json, web_page

GUESSES = 5
CLOSELY = 32  # units with gates and hidden state on the page, the best-ranked
NONE = -128  # stands for a detector that does not apply


@dataclass(frozen=True)
class Interpretable:
    """How many units are interpretable.

    `units` of `of` score at least `THRESHOLD`, and `MARGIN` more than every unit of an untrained twin; `score` of them, and
    `twin` of the twin's units, score at least `THRESHOLD`. `detectors` is the number of detectors that the text has enough of.
    """

    units: int
    score: int
    twin: int
    of: int
    detectors: int

    def sentence(self) -> str:
        """Return a sentence on the share of interpretable units."""
        if not self.detectors:
            return f"The text is too short to rank units by: a detector needs {LEAST} characters where it is on in each half."
        share = f"{self.units} of {self.of:,} units ({100 * self.units / self.of:.1f} %)"
        return (
            f"{share} are interpretable: they score at least {THRESHOLD:g} with a detector, and {MARGIN:g} more than every"
            f" unit of an untrained network does. Without that condition it is {100 * self.score / self.of:.1f} % here and"
            f" {100 * self.twin / self.of:.1f} % of the untrained network. Karpathy (2015) judged about 5 % by eye."
        )


def interpretable(ranking: Ranking, twin: Ranking) -> Interpretable:
    """Return the counts for a ranking and the ranking of its untrained twin."""
    return Interpretable(
        int(ranking.interpretable(twin).sum()),
        int((ranking.own_scores >= THRESHOLD).sum()),
        int((twin.own_scores >= THRESHOLD).sum()),
        ranking.chosen.shape[1],
        len(ranking.detectors),
    )


def inside_page(reading: Reading, unit: int | None, sections: dict[str, Any]) -> tuple[str, Interpretable]:
    """Return the page and the share of interpretable units.

    Args:
        unit: by which the text is colored at first; None means the best-ranked.
        sections: plain data for the sections below the text, by their names in inside.js.
    """
    run, model = reading.run, reading.run.model
    ranking, twin = reading.ranking, Reading(untrained_twin(run), reading.text).ranking
    found = interpretable(ranking, twin)
    order = ranking.order()
    data = {
        "starts": np.cumsum([0, *model.sizes[:-1]]).tolist(),
        "signal": reading.signal_name,
        "unit": int(order[0]) if unit is None else unit,
        "order": order.tolist(),
        "best": [ranking.best_detectors.tolist(), _rounded(ranking.own_scores)] if ranking.detectors else None,
        "closely": _closely(reading, order[:CLOSELY]),
        "ranking": _ranking_rows(ranking, twin),
        **_tokens(reading),
        **sections,
    }
    name = f"{model.shape} {model.cell.name}"
    parts = {
        "title": "Inside a network",
        "summary": f"<bdi>{escaped(typed_name(run.folder))}</bdi>, checkpoint {escaped(run.checkpoint)}: {escaped(name)}.",
        "cell": _about_cell(reading),
        "share": escaped(found.sentence()),
        "signal": packed(reading.signal.T),
        "detectors": packed(_detector_values(reading, ranking)),
        "data": script_json(data),
    }
    return web_page(Path(__file__).with_suffix(".html"), parts), found


def packed(values: np.ndarray) -> str:
    """Return values between -1 and 1, or NaN, as base64 of int8, with 127 for 1."""
    whole = np.where(np.isnan(values), NONE, np.round(np.clip(np.nan_to_num(values), -1, 1) * 127))
    return base64.b64encode(whole.astype(np.int8).tobytes()).decode()


def _closely(reading: Reading, units: np.ndarray) -> dict[str, Any]:
    """Return the hidden state and gates of some units, packed as (values, units, time)."""
    names = [name for name in reading.states if name != "cell" and not (name == "hidden" and "cell" not in reading.states)]
    flat = [reading.of_units(name)[:, units].T for name in names]
    gates = {"hidden": "hidden state", "candidate": "candidate"}
    titles = [gates.get(name, f"{name} gate") for name in names]
    return {"names": titles, "units": units.tolist(), "values": packed(np.array(flat)) if flat else ""}


def _tokens(reading: Reading) -> dict[str, Any]:
    """Return the tokens and guesses as indices into a list of spellings."""
    vocabulary, time = reading.run.vocabulary, len(reading.ids)
    count = min(GUESSES, len(vocabulary))
    top = np.argsort(-reading.probabilities, axis=1, kind="stable")[:, :count]
    shares = np.take_along_axis(reading.probabilities, top, 1)
    used, places = np.unique(np.concatenate([reading.ids, top.ravel()]), return_inverse=True)
    special = {vocabulary.unk: "unknown", vocabulary.start: "START", vocabulary.end: "END"}
    if vocabulary.level == "byte":
        special = {}
    given = [vocabulary.start] if special else []  # a START is never predicted
    losses = zip(reading.ids[1:], _rounded(reading.losses), strict=True)
    return {
        "spellings": [special.get(id, vocabulary.tokens[id]) for id in used.tolist()],
        "apart": vocabulary.level == "word" and vocabulary.words != "lossless",  # words without the spaces between them
        "special": [place for place, id in enumerate(used.tolist()) if id in special],
        "tokens": places[:time].tolist(),
        "guesses": places[time:].reshape(time, count).tolist(),
        "shares": np.round(100 * shares).astype(int).tolist(),
        "losses": [None if id in given else loss for id, loss in losses],
    }


def _ranking_rows(ranking: Ranking, twin: Ranking) -> list[dict[str, Any]]:
    """Return a row for each detector, the best score first."""
    rows = [
        {
            "place": place,
            "name": name,
            "graded": name in GRADED,
            "unit": int(ranking.best_units[place]),
            "score": _rounded(ranking.best_scores)[place],
            "interval": _rounded(ranking.intervals[place]),
            "twin": _rounded(twin.best_scores)[place],
        }
        for place, name in enumerate(ranking.detectors)
    ]
    return sorted(rows, key=lambda row: -row["score"])


def _detector_values(reading: Reading, ranking: Ranking) -> np.ndarray:
    """Return the values of the detectors, scaled to between 0 and 1, (detectors, time)."""
    rows = [reading.detectors[name] / max(float(np.nanmax(reading.detectors[name])), 1) for name in ranking.detectors]
    return np.array(rows).reshape(-1, len(reading.ids))


def _about_cell(reading: Reading) -> str:
    cell = reading.run.model.cell
    if "cell" in reading.states:
        return "The cell state is the memory of each unit; its tanh is what the output gate lets through."
    return f"A {escaped(cell.name.upper())} has no cell state beside its hidden state, which is therefore what is shown."


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in values]
