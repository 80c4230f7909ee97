"""`rnnscope train`: compose a config, train it, leave a run folder."""

from typing import Any

from rnnscope.commands.compose import hydra_main


def run(config: dict[str, Any]) -> int:
    """Train what `config` describes; the exit status is 0 unless the run diverged or was interrupted."""
    from hydra.core.hydra_config import HydraConfig

    from rnnscope.commands.assemble import Terms
    from rnnscope.commands.fit import fit
    from rnnscope.commands.init_from import adopt

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
    name = config["name"] or choices.get("experiment")
    config, parent = adopt(config, typed)
    return status_of(fit(config, name, command, Terms(parent=parent)))


def status_of(result: Any) -> int:
    """Return the exit status of a training: 0 finished, 130 interrupted, 1 diverged."""
    return {"finished": 0, "interrupted": 130}.get(result.status, 1)


def main() -> int:
    return hydra_main("train", run)
