"""sweep.yaml: what a sweep holds fixed, what it sweeps over, and its jobs; for people, and for when it goes on."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rnnscope.errors import UserError
from rnnscope.runs.files import replace_text
from rnnscope.runs.record import now
from rnnscope.sweeps.job_folder import JobState

HEAD = """\
# A sweep of rnnscope: each job is a run folder beside this file. Started again under this name it skips what is finished,
# resumes what was interrupted, and adds what is new. Statuses here are for reading; each run.json is what counts.
"""
BY_JOB = "by job"
IGNORED = ("name",)  # keys that may be other when a sweep goes on: they decide nothing in it


@dataclass
class Manifest:
    """The contents of sweep.yaml.

    Args:
        kind: `grid` or `optuna`.
        swept: the values of each key in which jobs differ, as typed; BY_JOB where a list of jobs sets it.
        fixed: every other key of the config with its value.
        jobs: by name, the words in which each job is other, its status and best loss.
    """

    path: Path
    name: str
    kind: str
    swept: dict[str, str]
    fixed: dict[str, Any]
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    started: str = field(default_factory=now)

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """Return the manifest in `folder`, None where there is none.

        Raises:
            UserError: when it cannot be read.
        """
        path = folder / "sweep.yaml"
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
            if not all(isinstance(values[key], dict) for key in ("swept", "fixed", "jobs")):
                raise ValueError("swept, fixed and jobs are not all maps")
            known = {key: values[key] for key in ("name", "kind", "swept", "fixed", "jobs", "started")}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path} cannot be read ({reason}); give another name=, or move that folder away") from error
        return cls(path, **known)

    def write(self) -> None:
        """Write sweep.yaml anew, in one step."""
        values = {key: getattr(self, key) for key in ("name", "kind", "started", "swept", "jobs", "fixed")}
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)
        replace_text(self.path, HEAD + text)

    def note(self, job: str, words: list[str]) -> None:
        """Add a job, or keep it with what is known of it."""
        self.jobs.setdefault(job, {"overrides": words, "status": "waiting"})

    def show(self, job: str, state: JobState) -> bool:
        """Bring a job's lines up to date; whether that changed any."""
        entry = self.jobs[job]
        now = {"status": state.status, "best_loss": state.get("best.loss"), "reason": state.reason}
        new = {"overrides": entry["overrides"], **{key: value for key, value in now.items() if value is not None}}
        changed = new != entry
        self.jobs[job] = new
        return changed

    def check(self, old: "Manifest") -> None:
        """Refuse to go on with a sweep that was another one.

        Raises:
            UserError: naming the keys that differ, both values, and the remedy.
        """
        self._check_kind(old)
        keys = [key for key in dict.fromkeys([*old.fixed, *self.fixed]) if key not in IGNORED]
        pairs = [(key, old._shown(key), self._shown(key)) for key in keys]
        differing = [f"{key} was {was} and is {now}" for key, was, now in pairs if was != now and None not in (was, now)]
        if differing:
            more = f", and {len(differing) - 4} more" if len(differing) > 4 else ""
            raise UserError(
                f"the sweep {self.name} exists with other settings: {'; '.join(differing[:4])}{more}."
                f" Give a new sweep a name of its own, name=..., or put that back"
            )

    def _check_kind(self, old: "Manifest") -> None:
        remedy = "give a new sweep a name of its own, name=..."
        if old.kind != self.kind:
            raise UserError(f"the sweep {self.name} exists as hydra/sweeper={old.kind}, and here it is {self.kind}: {remedy}")
        if self.kind == "optuna" and old.swept != self.swept:
            before, here = (", ".join(f"{key}={value}" for key, value in found.swept.items()) for found in (old, self))
            raise UserError(f"the search {self.name} exists over {before}, and here it is over {here}: {remedy}")

    def _shown(self, key: str) -> str | None:
        """Return the value of a key for people; None where the rnnscope that wrote this did not know the key."""
        if key in self.fixed:
            return str(self.fixed[key])
        return "swept" if is_under(key, self.swept) else None


def is_under(key: str, keys: Iterable[str]) -> bool:
    """Whether a dotted key is one of `keys`, or in a group that is: `model.cell` where `model` is swept over."""
    return any(key == other or key.startswith(f"{other}.") or other == "experiment" for other in keys)
