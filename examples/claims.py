"""`make claims`: the table of docs/classics.md, from a training of each experiment that expects something.

A run that is there already, with the config of today, is not trained again; so a second call continues the first. What would
make this longer than an hour is not trained here, but stands in the table where somebody has: rnnscope train experiment=<name>.
"""

import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rnnscope.config.compose import compose_train
from rnnscope.config.schema import TrainConfig
from rnnscope.errors import UserError
from rnnscope.format import clock, number
from rnnscope.paths import conf_folder, outputs_folder
from rnnscope.runs.expectation import NOT_JUDGED, Claim, Expectation, deciding
from rnnscope.runs.record import Record
from rnnscope.runs.segments import differences, flatten

PAGE = Path(__file__).parents[1] / "docs" / "classics.md"
BEGIN, END = "<!-- claims: written by make claims -->\n", "<!-- end of claims -->\n"
LONG = (
    "keras_text_generation",
    "spynet",
    "trump_dl4j",
    "war_and_peace",
    "paul_graham",
    "linux",
    "penn_treebank",
    "penn_characters",
)
SEEDS = {"min_char_rnn": (1, 2, 3)}  # of which the median counts; 1 elsewhere
HEAD = ["| claim | by whom | here | time | command |", "|---|---|---|---|---|"]
SIGNS = {"at_most": "at most ", "at_least": "at least ", "near": ""}


def finished(experiment: str, config: TrainConfig) -> dict[str, Any] | None:
    """Return the record of the newest finished run of an experiment that was trained as `config` says today."""
    for path in sorted(outputs_folder().glob(f"runs/{experiment}/*/run.json"), reverse=True):
        record = Record.read(path).values
        known = flatten(record["config"]).keys()  # a key that came later does by default what was done before it
        changed = differences(record["config"], json.loads(json.dumps(asdict(config)))).keys() & known - {"expect"}
        same = record["seed"] == config.seed and not deciding(changed)
        if record["status"] == "finished" and not record.get("overridden") and same and "claims" in record:
            return record
    return None


def train(experiment: str, seed: int) -> dict[str, Any] | None:
    """Return the record of an experiment, trained if need be and short enough; None where there is none."""
    words = [f"experiment={experiment}", *([f"seed={seed}"] if seed != 1 else [])]
    config = compose_train(words)
    if (found := finished(experiment, config)) is None and experiment not in LONG:
        subprocess.run([sys.executable, "-m", "rnnscope", "train", *words], check=True)
        found = finished(experiment, config)
    return found


def row(expectation: Expectation, records: list[dict[str, Any]], command: str) -> str:
    """Return what is claimed, by whom, and what the runs gave: of several the median."""
    found = [claim for record in records for claim in record["claims"] if claim["metric"] == expectation.metric]
    ours = [claim["ours"] for claim in found if claim["step"] == expectation.step and claim["ours"] is not None]
    claim = Claim.judge(expectation, median(ours) if ours else None)
    value = "none" if claim.ours is None else number(claim.ours)
    said = f"side by side: {claim.why}" if claim.verdict == NOT_JUDGED else claim.verdict
    seeds = f", median of {', '.join(map(number, ours))}" if len(ours) > 1 else ""
    time = clock(median(record["progress"]["seconds"] for record in records))
    wanted = f"`{expectation.metric}` {SIGNS[expectation.direction]}{number(expectation.value)}"
    if expectation.tolerance and expectation.direction == "near":
        wanted += f" within {number(expectation.tolerance)}"
    if expectation.step:
        wanted += f" at step {expectation.step:,}"
    return f"| {wanted} | {expectation.source} | {value}{seeds}: {said} | {time} | `{command}` |"


def rows(experiment: str) -> list[str]:
    """Return the rows of an experiment; none where it expects nothing or was not trained."""
    expected = compose_train([f"experiment={experiment}"]).expect
    if not expected:
        return []
    try:
        records = [train(experiment, seed) for seed in SEEDS.get(experiment, (1,))]
    except UserError as error:
        print(f"{experiment}: {error}")
        return []
    known = [record for record in records if record is not None]
    command = f"rnnscope train experiment={experiment}"
    return [row(expectation, known, command) for expectation in expected] if len(known) == len(records) else []


def write(lines: list[str]) -> None:
    """Put the table between the marks of the page."""
    text = PAGE.read_text(encoding="utf-8")
    table = "\n".join([*HEAD, *lines]) + "\n"
    replaced = re.sub(f"(?s){re.escape(BEGIN)}.*{re.escape(END)}", lambda match: f"{BEGIN}\n{table}\n{END}", text)
    PAGE.write_text(replaced, encoding="utf-8")


if __name__ == "__main__":
    names = sorted(path.stem for path in (conf_folder() / "experiment").glob("*.yaml"))
    write([line for name in names for line in rows(name)])
