"""`rnnscope train`: compose a config and train it; `from=` starts from a run's config, -m sweeps."""

import os
from dataclasses import replace
from pathlib import Path

from rnnscope.config.compose import CommandLine, Composition, hydra_main
from rnnscope.config.overrides import SWEEP, is_sweep, refuse_settings_of_sweeps
from rnnscope.config.schema import TrainFromConfig

SHOWING = ("-h", "--help", "--hydra-help", "--version", "--cfg", "-c", "--info", "-i", "--shell-completion")


def run(composition: Composition) -> int:
    """Train a composed config; the exit status is 0 unless the run diverged or was interrupted."""
    from rnnscope.pipeline.fit import fit_composed

    return fit_composed(composition).exit_status


def run_from(config: TrainFromConfig) -> int:
    """Train the config of an earlier run, or of a config.yaml, with changes; the exit status is as for `run`."""
    from rnnscope.config.changes import parse_changes
    from rnnscope.pipeline.fit import fit_changed, fit_file
    from rnnscope.runs.find import find_run

    changes = parse_changes(config.changes, groups=True)
    path = Path(os.path.expanduser(config.parent))
    if path.suffix in (".yaml", ".yml"):
        return fit_file(path, changes, config.data, config.alone()).exit_status
    return fit_changed(find_run(config.parent, "from"), changes, config.data, config.alone()).exit_status


def main(line: CommandLine) -> int:
    """Train once or sweep, and return the exit status."""
    if line.command == "train_from":
        return hydra_main(line, run_from)
    words = line.overrides
    if any(word.partition("=")[0] in SHOWING for word in words):
        return hydra_main(line, run)
    if not is_sweep(words):
        refuse_settings_of_sweeps(words)
        return hydra_main(line, run)
    from rnnscope.sweeps.job import job
    from rnnscope.sweeps.search import register

    register()
    sweeping = [*words, *(() if set(words) & set(SWEEP) else SWEEP[:1])]
    return hydra_main(replace(line, overrides=sweeping), run, job)
