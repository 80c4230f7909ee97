"""`rnnscope train`: compose a config, train it, leave a run folder; `from=` starts from a run's config, -m sweeps."""

from dataclasses import replace

from rnnscope.config.compose import CommandLine, Composition, hydra_main
from rnnscope.config.overrides import SWEEP
from rnnscope.config.schema import TrainFromConfig
from rnnscope.errors import UserError

SHOWING = ("-h", "--help", "--hydra-help", "--version", "--cfg", "-c", "--info", "-i", "--shell-completion")
FOR_SWEEPS = ("hydra/sweeper=", "hydra/launcher=", "hydra.sweeper.", "hydra.launcher.")


def run(composition: Composition) -> int:
    """Train what Hydra composed; the exit status is 0 unless the run diverged or was interrupted."""
    from rnnscope.pipeline.fit import fit_composed

    return fit_composed(composition).exit_status


def run_from(config: TrainFromConfig) -> int:
    """Train what an earlier run's config describes, with changes; the exit status is the same."""
    from rnnscope.config.changes import parse_changes
    from rnnscope.pipeline.fit import fit_changed
    from rnnscope.runs.find import find_run

    changes = parse_changes(config.changes, groups=True)
    return fit_changed(find_run(config.parent, "from"), changes, config.data, config.alone()).exit_status


def main(line: CommandLine) -> int:
    if line.command == "train_from":
        return hydra_main(line, run_from)
    words = line.overrides
    if not is_sweep(words):
        return hydra_main(line, run)
    from rnnscope.sweeps.job import job
    from rnnscope.sweeps.search import register

    register()
    sweeping = [*words, *(() if set(words) & set(SWEEP) else SWEEP[:1])]
    return hydra_main(replace(line, overrides=sweeping), run, job)


def is_sweep(words: list[str]) -> bool:
    """Whether a command line sweeps: it has -m or names a ready sweep, and does not only ask to be shown something.

    Raises:
        UserError: when something is set that only a sweep has.
    """
    if any(word.partition("=")[0] in SHOWING for word in words):
        return False
    if set(words) & set(SWEEP) or any(word.startswith("sweep=") for word in words):
        return True
    for word in words:
        if word.startswith(FOR_SWEEPS):
            raise UserError(f"{word} applies to sweeps only: add -m, or leave it out")
    return False
