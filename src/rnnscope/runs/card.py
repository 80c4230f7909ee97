"""README.md of an exported run: front matter for the Hugging Face hub, then a description of the model."""

import re
from collections import deque
from contextlib import suppress
from pathlib import Path

import yaml

from rnnscope.errors import UserError
from rnnscope.format import number, one_line, visible
from rnnscope.model.scoring import perplexity
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.load import LoadedRun
from rnnscope.runs.record import Record, value_at
from rnnscope.runs.samples import read_samples

FILES = ("config", "vocabulary", "weights")  # all files of a run folder that `rnnscope.load` needs
LONGEST = 600  # characters of a sample
UNITS = {"loss": "loss, nats per token"}
METRICS = {"best/bits_per_character": "bits_per_character", "best/loss": "loss"}


def card(run: LoadedRun) -> str:
    """Return the model card of a run.

    Raises:
        UserError: if its record or samples are not what rnnscope writes.
    """
    record = Record.read(run.folder.record)
    name, dataset = _name(run.folder, record), str(value_at(run.config, "dataset.name"))
    metrics = _metrics(record, run.vocabulary.level == "word")
    front = {
        "library_name": "rnnscope",
        "pipeline_tag": "text-generation",
        "tags": ["rnnscope", "recurrent-neural-network", "language-model", run.model.cell.name],
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": "text-generation"},
                        "dataset": {"name": dataset, "type": dataset, "split": "validation"},
                        "metrics": [{"type": kind, "value": value} for kind, value in metrics.items()],
                    }
                ],
            }
        ],
    }
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return "\n".join(["---", head.rstrip(), "---", "", *_body(run, record, one_line(name), metrics)]) + "\n"


def _name(folder: RunFolder, record: Record) -> str:
    """Return the name that a run was given; that of its job, too, if it belongs to a sweep."""
    path = folder.path.absolute()
    name = record.get("name", str) or path.parent.name
    return f"{name}/{path.name}" if (path.parent / "sweep.yaml").exists() else name


def _metrics(record: Record, words: bool) -> dict[str, float]:
    """Return the scores of the best weights, which the card describes, on the validation split."""
    last = record.get("last", dict, {})
    found = {kind: float(last[tag]) for tag, kind in METRICS.items() if type(last.get(tag)) in (int, float)}
    return found | ({"perplexity": perplexity(found["loss"])} if words and "loss" in found else {})


def _body(run: LoadedRun, record: Record, name: str, metrics: dict[str, float]) -> list[str]:
    model, level = run.model, run.vocabulary.level
    size = f"{model.shape} {model.cell.name}, {model.parameter_count():,} parameters"
    text = str(value_at(run.config, "dataset.name"))
    tokens = record.get("data.splits.train.tokens", int)
    return [
        f"# {_plain(name)}",
        "",
        f"A recurrent language model of level `{level}` ({size}), trained with rnnscope on {_plain(text)}"
        f"{f', {tokens:,} tokens' if tokens else ''}. These are its best weights, of step"
        f" {record.get('best.step', int, 0):,} of {record.get('progress.step', int, 0):,}.",
        "",
        *(["| on the validation split | |", "|---|---:|"] if metrics else []),
        *(f"| {UNITS.get(kind) or kind.replace('_', ' ')} | {number(value)} |" for kind, value in metrics.items()),
        "",
        "## How to load",
        "",
        *_code("import rnnscope\n\nmodel = rnnscope.load('path/of/this/folder')\nprint(model.sample(length=300))", "python"),
        "",
        "## What it writes",
        "",
        *_sample(run.folder),
        "",
        "## Reproduced",
        "",
        _verdicts(run.folder),
        "",
        "## Config",
        "",
        *_code(run.folder.config.read_text(encoding="utf-8"), "yaml"),
    ]


def _sample(folder: RunFolder) -> list[str]:
    last = deque(read_samples(folder.samples), maxlen=1)
    if not last:
        return ["No sample was written while it was trained."]
    return [
        f"After {last[0].step:,} steps, at temperature {last[0].temperature}:",
        "",
        *_code((last[0].prompt + last[0].text)[:LONGEST], ""),
    ]


def _verdicts(folder: RunFolder) -> str:
    """Return a sentence with the verdicts of `rnnscope reproduce` on the run, the newest last."""
    kinds: list[str] = []
    for path in sorted(folder.reproductions.glob("*/run.json")):
        with suppress(UserError):
            kinds += filter(None, [Record.read(path).get("verdict.kind", str)])
    return f"`rnnscope reproduce` gave: {', '.join(map(_plain, kinds))}." if kinds else "It has not been reproduced."


def _code(text: str, language: str) -> list[str]:
    """Return a fenced block; the fence is longer than any in the text, so that nothing in it is markup."""
    ticks = max([2, *(len(found) for found in re.findall("`+", text))]) + 1
    return [f"{'`' * ticks}{language}", *visible(text).splitlines(), "`" * ticks]


def _plain(text: str) -> str:
    """Return text on one line, with every special character of Markdown escaped."""
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", one_line(text))


def write_card(run: LoadedRun, folder: Path) -> list[Path]:
    """Write README.md and copies of all files that `rnnscope.load` needs to `folder`, and return their paths.

    Raises:
        UserError: if the run lacks one of the files, or was not opened with its best weights.
    """
    if run.checkpoint != "best":
        raise UserError(f"checkpoint={run.checkpoint}: a card describes the best weights and their scores; leave it out")
    paths: list[Path] = []
    for file in FILES:
        source: Path = getattr(run.folder, file)
        if not source.is_file():
            raise UserError(f"{run.folder.path} has no {source.name}, which a card needs: train it to its first checkpoint")
        (folder / source.name).write_bytes(source.read_bytes())
        paths.append(folder / source.name)
    (folder / "README.md").write_text(card(run), encoding="utf-8", errors="replace")
    return [*paths, folder / "README.md"]
