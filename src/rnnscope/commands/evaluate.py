"""`rnnscope evaluate`: score a run's model on its data or on any text."""

import sys
from typing import TYPE_CHECKING, Any

from rnnscope.config.schema import EvaluateConfig, refuse_without_effect
from rnnscope.errors import UserError
from rnnscope.format import json_text

if TYPE_CHECKING:
    from rnnscope.analysis.evaluate import Report
    from rnnscope.model.scoring import Score


def run(config: EvaluateConfig) -> None:
    """Print the report, or a score for each line of stdin."""
    from rnnscope.analysis.evaluate import evaluate_run, score_lines, table
    from rnnscope.format import printable

    if "" in (config.text, config.others):
        key, example = ("text", "chapter.txt") if config.text == "" else ("with", "seed-2,seed-3")
        raise UserError(f"{key}= is empty: write {key}={example}, or leave it out")
    if config.text is not None and config.data is not None:
        raise UserError("text= scores a different text, data= gives the new path of the run's own: give only one of them")
    if config.text is not None:
        refuse_without_effect(config, ["split"], "to text=")
    if config.samples is None:
        refuse_without_effect(config, ("length", "temperatures"), "without samples=")
    if config.lines:
        refuse_without_effect(config, ("json", "samples", "ngram", "window"), "to lines=true")
        for row in score_lines(config):
            print(printable(row) if sys.stdout.isatty() else row, flush=True)
        return
    loaded, report = evaluate_run(config)
    if config.json:
        print(json_text({"run": str(loaded.folder.path), "checkpoint": loaded.checkpoint, **values_of(report)}, indent=1))
        return
    score = next(iter(report.scores.values()))
    print(f"run      {printable(str(loaded.folder.path))}, checkpoint {loaded.checkpoint}")
    unknown = f"{100 * report.unknown:.2f} % unknown"
    print(f"scored   {printable(report.source)}: {score.tokens:,} tokens, {score.characters:,} characters, {unknown}\n")
    print("\n".join(table(report, loaded.vocabulary.level == "word")))
    if report.generated:
        print(printable("\n".join(["", *report.generated])))


def values_of(report: "Report") -> dict[str, Any]:
    """Return a report as `json=true` prints it: nats per token, bits per character; null if unknown."""

    def values(score: "Score") -> dict[str, Any]:
        return {
            "tokens": score.tokens,
            "characters": score.characters,
            "loss": score.loss,
            "bits_per_character": score.bits_per_character,
            "accuracy": score.accuracy,
        }

    scores = {name: values(score) for name, score in report.scores.items()}
    spelling = {} if report.spelling is None else {"spelling": report.spelling}
    generated = {"generated": report.generated} if report.generated else {}
    extra = {one.name: {**values(one.score), **one.settings} for one in report.extra}
    return {
        "source": report.source,
        "unknown": report.unknown,
        "scores": scores,
        "unigram": report.unigram,
        **report.baselines,
        **spelling,
        **generated,
        **({"extra_scores": extra} if extra else {}),
    }
