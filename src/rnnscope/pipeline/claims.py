"""The claims in a config: checked before the first step, judged after the last."""

from rnnscope.config.places import says_where
from rnnscope.errors import UserError
from rnnscope.pipeline.build import Training
from rnnscope.pipeline.measures import MEASURES
from rnnscope.runs.expectation import Claim, Expectation, deciding
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.journal import read_curve
from rnnscope.runs.record import Record
from rnnscope.runs.segments import segments_of

ENDED = {"interrupted": "the run was interrupted", "failed": "the run failed", "diverged": "the run diverged"}


def check_expectations(training: Training) -> None:
    """Check that all claims can be judged.

    Raises:
        UserError: if one cannot, naming the key.
    """
    known = {*training.metric_columns, *MEASURES} - {"step"}
    for expectation in training.config.expect:
        expectation.check(known)


def judge_run(run: RunFolder, record: Record, training: Training, status: str) -> list[Claim]:
    """Return the verdict on each claim; none for a run that repeats a different one."""
    if training.options.stop is not None:
        return []
    keys = deciding([*record.get("overridden", list, []), *changed_on_the_way(record)])
    why = ENDED.get(status) or (f"changed from the experiment: {', '.join(keys)}" if keys else None)
    return [judge(expectation, run, training, why) for expectation in training.config.expect]


def changed_on_the_way(record: Record) -> list[str]:
    """Return the keys that later segments changed, except for where the same text is."""
    return [key for segment in segments_of(record) for key in segment.get("changed", {}) if not says_where(key)]


def judge(expectation: Expectation, run: RunFolder, training: Training, why: str | None) -> Claim:
    """Return the verdict on one claim; if it cannot be measured, it is not judged."""
    if why in ENDED.values() and expectation.metric.startswith("sample/"):  # do not generate texts after an interruption
        return Claim.judge(expectation, None, why)
    try:
        return Claim.judge(expectation, measure(expectation, run, training), why)
    except (UserError, OSError) as error:  # the run keeps its results, whatever file is missing
        return Claim.judge(expectation, None, why or str(error))


def measure(expectation: Expectation, run: RunFolder, training: Training) -> float | None:
    """Return the run's number for a claim, or None if it has none."""
    if expectation.metric in MEASURES:
        return MEASURES[expectation.metric](run, training)
    steps, values = read_curve(run.metrics, expectation.metric)
    points = dict(zip(steps, values, strict=True))
    return points.get(steps[-1] if expectation.step is None and steps else expectation.step or 0)
