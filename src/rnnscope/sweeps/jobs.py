"""One job of a sweep as it is to be: its words, its config, its name; and whether a folder that exists is that job's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

from rnnscope.config.compose import plain
from rnnscope.config.overrides import quote
from rnnscope.errors import UserError
from rnnscope.runs.find import find_run
from rnnscope.runs.segments import flatten
from rnnscope.sweeps.job_folder import JobState
from rnnscope.sweeps.manifest import is_under
from rnnscope.sweeps.names import job_name, sweep_name
from rnnscope.sweeps.plan import Plan


@dataclass(frozen=True)
class Job:
    """A job that composes.

    Args:
        words: those in which it is other than the rest.
        typed: all of them, as for `rnnscope train`.
        config: flat.
    """

    name: str
    words: list[str]
    typed: list[str]
    config: dict[str, Any]
    choices: dict[str, Any]


class Composer:
    """Composes the jobs of a plan, each as `rnnscope train` would.

    Args:
        config: the sweep's own, as Hydra composed it.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig, plan: Plan) -> None:
        self._loader, self._config, self._plan = loader, config, plan

    def job(self, words: list[str]) -> Job:
        """Return the job that sets `words` besides what is fixed.

        Raises:
            HydraException: when a key or value is none; UserError: when it starts from a run that is none.
        """
        typed = [*self._plan.fixed_words, *words]
        config, choices = self._compose(typed)
        if config["init_from"] is not None:  # `latest` would be another run for each job
            typed.append(f"init_from={quote(str(find_run(config['init_from']).path.resolve()))}")
            config, choices = self._compose(typed)
        if config["trainer"]["strategy"] == "ddp":
            raise UserError("trainer=ddp trains one run with several processes and cannot be swept: start such runs one by one")
        values = {key: choices[key] if key in choices else _at(config, key) for key in map(_key, words)}
        return Job(job_name(values, self._plan.keys), words, typed, flatten(config), choices)

    def _compose(self, typed: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        composed = self._loader.load_sweep_config(self._config, typed)  # type: ignore[attr-defined]
        choices = dict(composed.hydra.runtime.choices)
        own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
        return json_like(plain(own)), choices


def _at(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value[part]
    return value


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+")


def json_like(value: Any) -> Any:
    """Return nested values as they come back from a file: keys of maps are text."""
    return json.loads(json.dumps(value))


def name_of(job: Job, plan: Plan) -> str:
    """Return the sweep's name: as typed, else its ready sweep's, else the experiment's, else made of the swept keys."""
    chosen = (job.config["name"], job.choices.get("sweep"), job.choices.get("experiment"))
    return str(next((name for name in chosen if name is not None), sweep_name(plan.keys)))


def fixed_settings(job: Job, plan: Plan) -> dict[str, Any]:
    """Return the keys, with their values, that are the same in every job of a plan."""
    typed = {word.key_or_group for word in plan.fixed}
    return {key: value for key, value in job.config.items() if key in typed or not is_under(key, plan.keys)}


def check_same(job: Job, state: JobState) -> None:
    """Refuse a folder in which another config was trained than the job's.

    Raises:
        UserError: naming the key and both values.
    """
    recorded = json_like(state.get("config") or {})
    for key, value in job.config.items():
        given = key == "trainer.threads" and value is None  # the launcher's matter
        adopted = key.startswith("model.") and job.config["init_from"] is not None  # the model is the other run's
        if key in recorded and recorded[key] != value and key != "name" and not given and not adopted:
            raise UserError(
                f"the job {job.name} exists with {key}={recorded[key]}, and here it is {value}:"
                " give a new sweep a name of its own, name=..., or put that back"
            )
