"""`rnnscope reproduce`: train a run again from its folder alone, and say whether it is the same."""

from typing import Any

from rnnscope.config.compose import hydra_main


def run(config: dict[str, Any]) -> int:
    """Reproduce and print the verdict; the exit status says it too: 0, 3 or 1."""
    from rnnscope.pipeline.console import Screen
    from rnnscope.pipeline.reproduce import reproduce
    from rnnscope.runs.find import find_run

    parent = find_run(config["run"])
    child, verdict = reproduce(parent, config["until"], config["text"])
    with Screen() as screen:
        for line in ["", *verdict.lines, f"  recorded     {parent.path}", f"  trained now  {child.path}"]:
            screen.say(line)
    return verdict.status


def main() -> int:
    return hydra_main("reproduce", run)
