"""`rnnscope resume`: continue a run exactly where it stopped, in its own folder."""

from rnnscope.config.schema import ResumeConfig


def run(config: ResumeConfig) -> int:
    """Continue training; the exit status is that of `rnnscope train`."""
    from rnnscope.config.changes import check_on_the_way, parse_changes
    from rnnscope.config.places import moved_to
    from rnnscope.config.validate import recorded_config
    from rnnscope.pipeline.options import RunOptions
    from rnnscope.pipeline.resume import resume_run
    from rnnscope.runs.find import find_run
    from rnnscope.runs.record import Record

    changes = parse_changes(config.changes)
    check_on_the_way(changes, config.run)
    run = find_run(config.run)
    recorded = recorded_config(run, Record.read(run.record))
    changes = moved_to(recorded.dataset.corpus, config.data) | changes
    return resume_run(run, changes, RunOptions(extensions=config.alone())).exit_status
