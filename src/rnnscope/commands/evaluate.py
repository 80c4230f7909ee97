"""`rnnscope evaluate`: score a run's model on its data or on any text."""

from rnnscope.config.schema import EvaluateConfig
from rnnscope.errors import UserError


def run(config: EvaluateConfig) -> None:
    """Print the report, or a score for each line of stdin."""
    from rnnscope.analysis.evaluate import evaluate_run, score_lines, table
    from rnnscope.format import printable

    if config.text is not None and config.data is not None:
        raise UserError("text= scores another text, data= says where the run's own lies now: give one of them")
    if config.lines:
        for row in score_lines(config):
            print(printable(row), flush=True)
        return
    loaded, report = evaluate_run(config)
    score = next(iter(report.scores.values()))
    print(f"run      {printable(str(loaded.folder.path))}, checkpoint {loaded.checkpoint}")
    unknown = f"{100 * report.unknown:.2f} % unknown"
    print(f"scored   {printable(report.source)}: {score.tokens:,} tokens, {score.characters:,} characters, {unknown}\n")
    print("\n".join(table(report, loaded.vocabulary.level == "word")))
