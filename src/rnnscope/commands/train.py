"""`rnnscope train`: compose a config, train it, leave a run folder; with -m, a sweep of them."""

import sys
from typing import Any

from rnnscope.config.compose import hydra_main
from rnnscope.errors import UserError

SWEEP = ("-m", "--multirun")
SHOWING = ("-h", "--help", "--hydra-help", "--version", "--cfg", "-c", "--info", "-i", "--shell-completion")
FOR_SWEEPS = ("hydra/sweeper=", "hydra/launcher=", "hydra.sweeper.", "hydra.launcher.")


def run(config: dict[str, Any]) -> int:
    """Train what `config` describes; the exit status is 0 unless the run diverged or was interrupted."""
    from rnnscope.pipeline.fit import fit

    return status_of(fit(*ordered(config)))


def ordered(config: dict[str, Any]) -> tuple[dict[str, Any], str | None, dict[str, str], Any]:
    """Return what `fit` takes: the config, the run's name, Hydra's record of the command line, and terms."""
    from hydra.core.hydra_config import HydraConfig

    from rnnscope.pipeline.build import Terms
    from rnnscope.pipeline.warm_start import adopt

    choices, command, typed = {}, {}, []
    if HydraConfig.initialized():
        from omegaconf import OmegaConf

        hydra = HydraConfig.get()
        choices = dict(hydra.runtime.choices)
        typed = [override.partition("=")[0].lstrip("+") for override in hydra.overrides.task]
        command = {
            "overrides.yaml": OmegaConf.to_yaml(hydra.overrides.task),
            "choices.yaml": OmegaConf.to_yaml(choices),
        }
    config, parent = adopt(config, typed)
    return config, config["name"] or choices.get("experiment"), command, Terms(parent=parent)


def status_of(result: Any) -> int:
    """Return the exit status of a training: 0 finished, 130 interrupted, 1 diverged."""
    return {"finished": 0, "interrupted": 130}.get(result.status, 1)


def main() -> int:
    words = sys.argv[1:]
    if not is_sweep(words):
        return hydra_main("train", run)
    from rnnscope.sweeps.job import job
    from rnnscope.sweeps.search import register

    register()
    sys.argv = [sys.argv[0], *words, *(() if set(words) & set(SWEEP) else SWEEP[:1])]
    return hydra_main("train", run, job)


def is_sweep(words: list[str]) -> bool:
    """Whether a command line sweeps: it says -m, or names a ready sweep and asks for more than to be shown.

    Raises:
        UserError: when something is set that only a sweep has.
    """
    if any(word.partition("=")[0] in SHOWING for word in words):
        return False
    if set(words) & set(SWEEP) or any(word.startswith("sweep=") for word in words):
        return True
    for word in words:
        if word.startswith(FOR_SWEEPS):
            raise UserError(f"{word} is for sweeps, and this is a single run: add -m, or leave it out")
    return False
