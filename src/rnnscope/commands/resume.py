"""`rnnscope resume`: continue a run exactly where it stopped, in its own folder."""

from rnnscope.config.schema import ResumeConfig


def run(config: ResumeConfig) -> int:
    """Train on; the exit status is that of `rnnscope train`."""
    from rnnscope.config.changes import check_on_the_way, parse_changes
    from rnnscope.pipeline.resume import resume_run
    from rnnscope.runs.find import find_run

    changes = parse_changes(config.changes)
    check_on_the_way(changes, config.run)
    return resume_run(find_run(config.run), changes).exit_status
