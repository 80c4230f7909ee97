"""The sections below the text on the page of `rnnscope visualize`, as plain data that inside.js draws."""

from typing import Any

import numpy as np

from rnnscope.analysis.causal import Effects, clamping_effects
from rnnscope.analysis.memory import FAR, TOLERANCE, ContextLoss, gradient_by_lag, loss_by_context, time_constants
from rnnscope.analysis.reading import Reading
from rnnscope.format import plural
from rnnscope.web_page import chart_line

CURVE = 100  # points of a curve over all units

Section = dict[str, Any]


def causal_section(reading: Reading) -> Section:
    """Return the section on clamping: for each detector, its own unit and the most needed one where it is on."""
    ranking = reading.ranking
    run, units = reading.run, ranking.order()
    effects = clamping_effects(run.model, reading.ids, reading.states, units, reading.detectors, run.given)
    of = f"the {len(effects.units)} best-ranked units" if len(effects.units) < ranking.chosen.shape[1] else "all units"
    note = (
        f"Each of {of} was held at its mean in turn while the model read {effects.tokens:,} tokens: the change of the loss, in"
        " nats per token. Above 0, the unit is needed. A unit may follow a detector without being needed for it."
    )
    best = dict(zip(ranking.detectors, ranking.best_units.tolist(), strict=True))
    rows = [_causal_row(effects, place, name, best[name]) for place, name in enumerate(effects.detectors) if name in best]
    return {"note": note, "rows": [row for row in rows if row]}


def _causal_row(effects: Effects, place: int, name: str, unit: int) -> Section | None:
    """Return the row of a detector; None if its unit was not clamped."""
    (at,) = np.flatnonzero(effects.units == unit) if unit in effects.units else (None,)
    if at is None:
        return None
    most = int(effects.on[place].argmax())
    values = {"on": effects.on[place, at], "off": effects.off[place, at], "all": effects.overall[at]}
    needed = {"needed": int(effects.units[most]), "neededOn": round(float(effects.on[place, most]), 4)}
    return {"name": name, "unit": unit, **{key: round(float(value), 4) for key, value in values.items()}, **needed}


def memory_section(reading: Reading) -> Section:
    """Return the section on memory: a sentence, and the charts that the text and the cell allow."""
    model = reading.run.model
    found = loss_by_context(model, reading.ids, reading.run.given)
    keep = kept_share(reading)
    charts = [] if found is None else [_context_chart(found)]
    charts += [] if keep is None else [_time_constant_chart(time_constants(keep))]
    charts += [_gradient_chart(gradient_by_lag(model, reading.ids))]
    return {
        "horizon": "The text is too short to vary the context." if found is None else horizon_sentence(found),
        "charts": charts,
    }


def horizon_sentence(found: ContextLoss) -> str:
    """Return a sentence on how much context the model uses."""
    costs = f"different text costs at most {100 * TOLERANCE:g} % of what context gains"
    if found.horizon == found.longest:
        return f"The model uses {plural(found.horizon, 'token')} of context or more: that was the most that was tried."
    return f"The model uses about {plural(found.horizon, 'token')} of context: before them, {costs}."


def kept_share(reading: Reading) -> np.ndarray | None:
    """Return the gate that says how much memory a unit keeps, (time, layer, unit); None for a cell without one."""
    name = "update" if reading.run.model.cell.name == "gru" else "forget"
    return reading.states.get(name)


def _context_chart(found: ContextLoss) -> Section:
    kinds = (
        ("nothing before", "k0", found.truncated),
        (f"{FAR} shuffled", "k1", found.shuffled),
        (f"{FAR} replaced", "k2", found.replaced),
    )
    return {
        "title": "Loss against context",
        "note": f"on {found.targets} tokens; before the last k stands nothing, {FAR} in random order, or {FAR} from elsewhere",
        "x": "k, tokens of context",
        "y": "nats per token",
        "log": "x",
        "series": [chart_line(name, look, list(losses), list(losses.values())) for name, look, losses in kinds],
    }


def _time_constant_chart(constants: np.ndarray) -> Section:
    layers = [np.sort(row[~np.isnan(row)]) for row in constants]  # without the padding of smaller layers
    places = [np.linspace(0, len(row) - 1, min(CURVE, len(row))).astype(int) for row in layers]
    lines = [
        chart_line(f"layer {layer}", f"k{layer % 7}", (100 * (at + 1) / len(row)).tolist(), row[at].tolist())
        for layer, (row, at) in enumerate(zip(layers, places, strict=True))
    ]
    return {
        "title": "Time constants of the units",
        "note": "tokens until 1/e of a unit's memory is left, by its gate that keeps: \u22121 / mean of ln f, in order",
        "x": "% of the units, the quickest first",
        "y": "tokens",
        "log": "y",
        "series": lines[:7],
    }


def _gradient_chart(norms: np.ndarray) -> Section:
    lags = list(range(len(norms)))
    return {
        "title": "Gradient through time",
        "note": "|dL/dh| of the loss at a token, by how many tokens earlier h is",
        "x": "lag, tokens",
        "y": "gradient norm",
        "log": "y",
        "series": [chart_line("all layers", "k0", lags, np.maximum(norms, 1e-30).tolist())],
    }
