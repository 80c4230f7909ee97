"""`rnnscope reproduce`: train a run again from its folder alone, and say whether the result is the same."""

from rnnscope.config.schema import ReproduceConfig


def run(config: ReproduceConfig) -> int:
    """Reproduce and print the verdict; the exit status says it too: 0, 3 or 1."""
    from rnnscope.pipeline.console import Console
    from rnnscope.pipeline.reproduce import reproduce
    from rnnscope.runs.find import find_run

    parent = find_run(config.run)
    child, verdict = reproduce(parent, config.until, config.data, config.alone())
    with Console() as console:
        for line in ["", *verdict.lines, f"  recorded     {parent.path}", f"  trained now  {child.path}"]:
            console.say(line)
    return verdict.status
