"""sweep.yaml: the fixed settings of a sweep, what it varies, and its jobs; for readers, and to continue the sweep."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rnnscope.config.places import comparable
from rnnscope.errors import UserError
from rnnscope.paths import outputs_folder
from rnnscope.runs.files import replace_text
from rnnscope.runs.folder import check_run_name
from rnnscope.runs.record import now
from rnnscope.sweeps.job_folder import JobState
from rnnscope.sweeps.names import sweep_name
from rnnscope.sweeps.plan import BY_JOB, Plan, PlannedJob

HEAD = """\
# A sweep of rnnscope: each job is a run folder next to this file. Started again under this name, it skips finished jobs,
# resumes interrupted ones, and adds new ones. The statuses here are for reading; each run.json is what counts.
"""
KEYS = ("name", "kind", "started", "swept", "jobs", "fixed")
OPEN = ("callbacks.", "logger.")  # sections that have the keys of what was chosen, and no others
REMEDY = "give the new sweep a different name (name=...)"


@dataclass
class Manifest:
    """The contents of sweep.yaml.

    Args:
        folder: the sweep's.
        kind: `grid` or `optuna`.
        swept: the values of each varied key, as typed; `by job` if a list of jobs sets it.
        fixed: all other keys of the config with their values.
        jobs: by name, the overrides of each job, its status and best loss.
    """

    folder: Path
    name: str
    kind: str
    swept: dict[str, str]
    fixed: dict[str, Any]
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    started: str = field(default_factory=now)

    @classmethod
    def of(cls, plan: Plan, jobs: Sequence[PlannedJob], kind: str) -> "Manifest":
        """Return the manifest of a new sweep, of which `jobs` are some.

        The name is the one that was typed, else that of the ready sweep, of the experiment, or of the swept keys.

        Raises:
            UserError: for a name that no folder can have.
        """
        job = jobs[0]
        chosen = (job.config["name"], *(job.choices.get(key) for key in ("sweep", "experiment") if key not in plan.keys))
        name = str(next((name for name in chosen if name is not None), sweep_name(plan.keys)))
        check_run_name(name)
        typed = {word.key_or_group for word in plan.fixed}
        # a key may follow from a swept one: it is neither fixed nor swept
        alike = {key for key in job.config if all(other.config.get(key) == job.config[key] for other in jobs)}
        fixed = {k: v for k, v in job.config.items() if k in typed or (k in alike and not _is_under(k, plan.keys))}
        swept = {key: plan.typed.get(key) or plan.values_by_job(key, kind) for key in plan.keys}
        return cls(outputs_folder() / "sweeps" / name, name, kind, swept, fixed)

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """Return the manifest in `folder`, or None if there is none.

        Raises:
            UserError: if it cannot be read.
        """
        path = folder / "sweep.yaml"
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
            if not all(isinstance(values[key], dict) for key in ("swept", "fixed", "jobs")):
                raise ValueError("swept, fixed and jobs are not all mappings")
            return cls(folder, **{key: values[key] for key in KEYS})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path} cannot be read ({reason}); choose a different name=, or move that folder") from error

    def write(self) -> None:
        """Write sweep.yaml, atomically."""
        values = {key: getattr(self, key) for key in KEYS}
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)
        replace_text(self.folder / "sweep.yaml", HEAD + text)

    def show(self, job: str, state: JobState) -> bool:
        """Update the entry of a job, and return whether it changed."""
        before = self.jobs[job]
        known = {"status": state.status, "best_loss": state.get("best.loss"), "reason": state.reason}
        self.jobs[job] = {"overrides": before["overrides"], **{key: value for key, value in known.items() if value is not None}}
        return self.jobs[job] != before

    def take_over(self, old: "Manifest") -> None:
        """Take over the jobs of the sweep that is continued.

        Raises:
            UserError: if it is a different sweep, naming the keys that differ, both values, and the remedy.
        """
        if old.kind != self.kind:
            raise UserError(f"the sweep {self.name} exists with hydra/sweeper={old.kind}, not {self.kind}; {REMEDY}")
        same = old.swept.keys() == self.swept.keys()  # older versions did not record the values of seeds
        same = same and all(old.swept[key] in (value, BY_JOB) for key, value in self.swept.items())
        if self.kind == "optuna" and not same:
            before, here = (", ".join(f"{key}={value}" for key, value in found.swept.items()) for found in (old, self))
            raise UserError(f"the search {self.name} exists over {before}, not over {here}; {REMEDY}")
        keys = [key for key in (old.fixed | self.fixed) if key != "name"]  # there are several ways to the same name
        pairs = [(key, old._shown(key), self._shown(key)) for key in keys]
        differing = [f"{key} was {was} and is {now}" for key, was, now in pairs if was != now and None not in (was, now)]
        if differing:
            more = f", and {len(differing) - 4} more" if len(differing) > 4 else ""
            changes = "; ".join(differing[:4])
            raise UserError(f"the sweep {self.name} exists with different settings: {changes}{more}; undo that, or {REMEDY}")
        self.jobs, self.started = old.jobs, old.started

    def _shown(self, key: str) -> str | None:
        """Return the value of a key for messages; None if the rnnscope that wrote the manifest did not know the key."""
        if key in self.fixed:
            return str(comparable(key, self.fixed[key]))
        return "swept" if _is_under(key, self.swept) else "not set" if key.startswith(OPEN) else None


def _is_under(key: str, keys: Iterable[str]) -> bool:
    """Whether a dotted key is one of `keys` or in a group that is: `model.cell` if `model` is swept."""
    return any(key == other or key.startswith(f"{other}.") or other == "experiment" for other in keys)
