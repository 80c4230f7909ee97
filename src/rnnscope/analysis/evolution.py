"""The page of `rnnscope visualize page=evolution`: a run's samples as it learned, with its curves and units."""

import math
import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from rnnscope.analysis.reading import Reading, untrained_twin
from rnnscope.format import one_line, plural
from rnnscope.runs.find import typed_name
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.journal import read_curve
from rnnscope.runs.load import LoadedRun, Tokens, load
from rnnscope.runs.samples import Sample, middle, read_samples
from rnnscope.web_page import chart_line, escaped, script_json, web_page

WORD = re.compile(r"[^\W\d_]{2,}")
LINES = 6  # detectors shown
NEW_WORDS = 30  # shown of a sample, the longest
LONGEST_SAMPLE = 1500
TAGS = {"train/loss": "training loss", "val/loss": "validation loss"}


def words_of(text: str) -> list[str]:
    """Return the words of at least two letters in a text, in lower case."""
    return [word.casefold() for word in WORD.findall(text)]


def whole_words(sample: Sample) -> list[str]:
    """Return the words of a sample but the last, which may have been cut off."""
    return words_of(sample.text)[:-1]


def middle_samples(path: Path) -> list[Sample]:
    """Return the sample at the middle temperature of each step, steps ascending.

    Raises:
        UserError: if a line of the file is not a sample.
    """
    return [middle(samples) for _, samples in groupby(read_samples(path), key=lambda sample: sample.step)]


def nearest(samples: list[Sample], steps: Iterable[int]) -> list[Sample]:
    """Return the samples nearest to `steps`, and the last one, without repetitions."""
    chosen = [min(samples, key=lambda sample: abs(sample.step - step)) for step in steps] if samples else []
    return sorted({sample.step: sample for sample in [*chosen, *samples[-1:]]}.values(), key=lambda sample: sample.step)


def evolution_page(run: LoadedRun, steps: list[int], text: Tokens, known: set[str] | None) -> str:
    """Return the page.

    Args:
        steps: the samples nearest to these are shown.
        text: to rank the units of the kept checkpoints on.
        known: the words of the training text in lower case; None if that text is missing.
    """
    samples = middle_samples(run.folder.samples)
    charts = [*_curves(run.folder), *_word_chart(samples, known), *detector_chart(run, text)]
    data = {"charts": charts, "samples": sample_cards(samples, nearest(samples, steps), known)}
    parts = {
        "title": "How a network learned",
        "summary": f"<bdi>{escaped(typed_name(run.folder))}</bdi>: {plural(len(samples), 'sample')}.",
        "missing": "" if known is not None else "The training text is not there, so words cannot be looked up in it.",
        "data": script_json(data),
    }
    return web_page(Path(__file__).with_suffix(".html"), parts)


def sample_cards(samples: list[Sample], shown: list[Sample], known: set[str] | None) -> list[dict[str, Any]]:
    """Return the data of each sample shown: its text, and the words that no earlier sample had."""
    cards = []
    for sample in shown:
        before = {word for earlier in samples if earlier.step < sample.step for word in whole_words(earlier)}
        new = sorted(set(whole_words(sample)) & (known or set()) - before, key=lambda word: (-len(word), word))
        share = real_share(sample, known)
        cards.append(
            {
                "step": sample.step,
                "temperature": sample.temperature,
                "text": "\n".join(one_line(line) for line in sample.text[:LONGEST_SAMPLE].split("\n")),
                "real": None if math.isnan(share) else round(100 * share),
                "new": new[:NEW_WORDS],
            }
        )
    return cards


def real_share(sample: Sample, known: set[str] | None) -> float:
    """Return the share of a sample's words that are words of the training text; NaN if that is unknown."""
    words = whole_words(sample)
    return sum(word in known for word in words) / len(words) if known and words else math.nan


def _curves(folder: RunFolder) -> list[dict[str, Any]]:
    losses = [chart_line(name, f"k{index}", *read_curve(folder.metrics, tag)) for index, (tag, name) in enumerate(TAGS.items())]
    sizes = chart_line("all parameters", "k2", *read_curve(folder.metrics, "update_size/all"))
    charts = [
        {"title": "Loss", "x": "optimizer steps", "y": "nats per token", "series": losses},
        {
            "title": "Update size",
            "note": "about \u22123 is healthy",
            "x": "optimizer steps",
            "y": "log\u2081\u2080",
            "series": [sizes],
        },
    ]
    for chart in charts:
        chart["series"] = [line for line in chart["series"] if line["xs"]]
    return [chart for chart in charts if chart["series"]]


def _word_chart(samples: list[Sample], known: set[str] | None) -> list[dict[str, Any]]:
    line = chart_line(
        "real words", "k0", [sample.step for sample in samples], [100 * real_share(sample, known) for sample in samples]
    )
    note = "share of the words in each sample that are words of the training text"
    chart = {"title": "Words", "note": note, "x": "optimizer steps", "y": "%", "series": [line]}
    return [chart] if line["xs"] else []


def detector_chart(run: LoadedRun, text: Tokens) -> list[dict[str, Any]]:
    """Return the scores of the best unit of each detector at the kept checkpoints; step 0 is an untrained twin.

    Only the detectors that gained most are shown. Without kept checkpoints, the list is empty.
    """
    steps = kept_steps(run.folder)
    if not steps:
        return []
    models = [untrained_twin(run), *(load(str(run.folder.path), step) for step in steps)]
    rankings = [Reading(model, text).ranking for model in models]
    names = rankings[0].detectors  # the same for all: they depend on the text alone
    scores = [[float(ranking.best_scores[place]) for ranking in rankings] for place in range(len(names))]
    places = sorted(range(len(names)), key=lambda place: scores[place][0] - scores[place][-1])[:LINES]
    lines = [chart_line(names[place], f"k{index}", [0, *steps], scores[place]) for index, place in enumerate(places)]
    note = "score of each detector's best unit, at most 1, by chance about 0.5, at the kept checkpoints; step 0 is untrained"
    return [{"title": "Detectors", "note": note, "x": "optimizer steps", "y": "score", "series": lines}] if lines else []


def kept_steps(folder: RunFolder) -> list[int]:
    """Return the steps of the kept checkpoints, ascending."""
    names = [re.fullmatch(r"step_(\d{1,16})\.ckpt", path.name) for path in folder.checkpoints.glob("step_*.ckpt")]
    return sorted(int(name[1]) for name in names if name)
