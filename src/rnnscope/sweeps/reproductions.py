"""`rnnscope reproduce sweep=`: every job of a sweep trained again, and a table of verdicts.

The new runs are in outputs/sweeps/<sweep>/reproductions/<time>/<job>/. The same command continues what was stopped there.
"""

import os
import sys
from contextlib import nullcontext, redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from rnnscope.config.compose import typed
from rnnscope.config.extensions import import_plugins
from rnnscope.config.overrides import quote
from rnnscope.errors import UserError
from rnnscope.format import json_text, plural, printable, table_lines
from rnnscope.paths import outputs_folder
from rnnscope.pipeline.reproduce import machine_lines
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.record import Record
from rnnscope.runs.verdict import STATUS
from rnnscope.sweeps.job import do
from rnnscope.sweeps.job_folder import JobFolder, JobState, service_folder, sweep_held
from rnnscope.sweeps.launch import JobLauncher
from rnnscope.sweeps.live_status import LiveStatus, shortened
from rnnscope.sweeps.manifest import Manifest
from rnnscope.sweeps.plan import PlannedJob
from rnnscope.sweeps.running import Stop

FAILED = "not reproduced"  # instead of a verdict
SECONDS = 10.0  # between two lines of a running job


class Judged(Exception):
    """Carries the exit status through Hydra, which ignores what a sweeper returns."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class ReproducedJob(JobFolder):
    """A job that is trained again; it has ended once it has a verdict, or cannot be trained."""

    def state(self, alive: bool = True) -> JobState:
        found = super().state(alive)
        if (verdict := found.get("verdict.kind")) is not None:
            return JobState("finished", str(verdict), found.record)
        by_record = found.ended and found.get("status") == found.status  # trained but not judged yet
        return JobState("interrupted", found.reason, found.record) if by_record else found


class ReproductionSweeper(Sweeper):
    """Trains all jobs of a sweep again through Hydra's launcher.

    Args:
        of_hydra: the keys of Hydra's own sweeper, which this one replaces; ignored.
    """

    def __init__(self, **of_hydra: Any) -> None:
        self._ignored = of_hydra

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._config, self._launcher = config, JobLauncher(hydra_context, config, task_function)

    def sweep(self, arguments: list[str]) -> Any:
        """Reproduce all jobs, and print the table.

        Raises:
            UserError: if the sweep does not exist, or none of its jobs was trained.
            KeyboardInterrupt: if it was asked to stop.
            Judged: with the worst exit status.
        """
        sweep = find_sweep(self._config.of_sweep)
        parents = jobs_of(sweep)
        trained = {name: run for name, run in parents.items() if run.record.exists()}
        if not trained:
            raise UserError(f"sweep={self._config.of_sweep}: none of its {len(parents)} jobs was trained")
        folder = folder_of(sweep, list(trained), self._config.until)
        with redirect_stdout(sys.stderr) if self._config.json else nullcontext():
            first = next(iter(trained.values()))
            stopped = self._train(folder, [planned(name, run, arguments) for name, run in trained.items()], first)
        rows = [row(run, ReproducedJob(folder, name)) for name, run in parents.items()]
        print(json_text(rows, indent=1) if self._config.json else printable("\n".join(report(rows, folder))))
        if stopped:
            print(f"stopped ({stopped}); the same command continues", file=sys.stderr)
            raise KeyboardInterrupt
        raise Judged(max((found["status"] for found in rows), key=(0, 3, 1).index))

    def _train(self, folder: Path, jobs: list[PlannedJob], first: RunFolder) -> str | None:
        """Train the jobs without a verdict, and return what asked to stop, or None.

        Args:
            first: the run whose code and packages are compared with the current ones.
        """
        folders = [ReproducedJob(folder, job.name) for job in jobs]
        service_folder(folder).mkdir(parents=True, exist_ok=True)
        live = LiveStatus(lambda job, state: None, SECONDS)
        stop = Stop(folder, lambda name: stop.mark.write_text(f"{name}\n", encoding="utf-8"))
        with sweep_held(folder, live.say), stop:
            stop.mark.unlink(missing_ok=True)
            for job in folders:
                job.make_ready()
            todo = [job for job, place in zip(jobs, folders, strict=True) if not place.state().ended]
            at_once = self._launcher.at_once(len(todo), "auto") if todo else 1
            before = f", {len(jobs) - len(todo)} reproduced before" if len(todo) < len(jobs) else ""
            for line in machine_lines(first, Record.read(first.record)):
                live.say(line)
            live.say(f"reproducing {plural(len(jobs), 'job')}{before}, {at_once} at once; {folder}")
            live.follow(folders)
            live.open()
            try:
                self._launcher.run(folder, todo, at_once, stop.asked, ReproducedJob)
            finally:
                live.close()
            return stop.asked()


def job(cfg: DictConfig) -> dict[str, Any]:
    """Train the job again that Hydra's config names, or continue it, and record its verdict."""
    hydra = HydraConfig.get()
    sys.argv = [sys.argv[0], "reproduce", *hydra.overrides.task]
    return do(ReproducedJob(Path(hydra.sweep.dir), hydra.job.name), lambda folder, stop: train_again(folder, cfg, stop))


def train_again(folder: JobFolder, cfg: DictConfig, stop: Stop) -> None:
    """Train a job again; if it is asked to stop, it keeps its run."""
    from rnnscope.pipeline.options import Job
    from rnnscope.pipeline.reproduce import reproduce

    config = typed("reproduce", cfg)
    import_plugins(config.plugins)  # a worker has not imported them yet
    try:
        told = Job(folder.run.path, asked=stop.asked)
        reproduce(RunFolder(Path(config.run)), config.until, config.data, config.alone(), told)
    except KeyboardInterrupt:
        if not stop.asked():
            raise


def find_sweep(typed_name: str) -> Path:
    """Return the folder of the sweep that the user means: by its path, its name, or the beginning of a name.

    Raises:
        UserError: if there is none, or more than one that fits.
    """
    root = outputs_folder() / "sweeps"
    for folder in (root / typed_name, Path(os.path.expanduser(typed_name))):
        if typed_name and (folder / "sweep.yaml").is_file():
            return folder
    names = sorted(path.parent.name for path in root.glob("*/sweep.yaml"))
    near = [name for name in names if name.startswith(typed_name)]
    if len(near) == 1:
        return root / near[0]
    found = f"fits {len(near)} sweeps" if near else "was not found"
    raise UserError(f"sweep={typed_name} {found} under {root}, which has {', '.join((near or names)[:6]) or 'no sweeps'}")


def jobs_of(sweep: Path) -> dict[str, RunFolder]:
    """Return the run folders of a sweep's jobs by name, including those that do not exist."""
    manifest = Manifest.read(sweep)
    assert manifest is not None
    return {name: RunFolder(sweep / name) for name in manifest.jobs}


def folder_of(sweep: Path, jobs: list[str], until: int | None) -> Path:
    """Return the folder of the newest reproduction up to step `until` if a verdict is missing there, else of a new one."""
    ending = "" if until is None else f"_until-{until}"
    begun = [path for path in sorted((sweep / "reproductions").glob("[!.]*")) if path.name[19:] == ending]
    if begun and not all(ReproducedJob(begun[-1], name).state().status == "finished" for name in jobs):
        return begun[-1]
    return sweep / "reproductions" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}{ending}"


def planned(name: str, run: RunFolder, arguments: list[str]) -> PlannedJob:
    """Return a job for the launcher: the overrides of `rnnscope reproduce` for one run."""
    words = [*arguments, f"run={quote(str(run.path.resolve()))}"]
    return PlannedJob(name, [], words, {"trainer.threads": Record.read(run.record).get("resolved.threads", int, 1)}, {})


def row(parent: RunFolder, job: ReproducedJob) -> dict[str, Any]:
    """Return the result of a job as `json=true` prints it; `status` is an exit status, `lines` explain the verdict."""
    state = job.state(alive=False)
    found = {"job": job.name, "recorded": str(parent.path), "trained_now": str(job.run.path)}
    if state.status == "finished":
        kind = str(state.get("verdict.kind"))
        return {**found, "verdict": kind, "status": STATUS.get(kind, 1), "lines": state.get("verdict.lines")}
    why = state.reason or f"{state.status} at step {state.get('progress.step') or 0}"
    why = why if parent.record.exists() else "was never trained"
    return {**found, "verdict": FAILED, "status": 1, "lines": [f"verdict: {FAILED}", f"  {why}"]}


def report(rows: list[dict[str, Any]], folder: Path) -> list[str]:
    """Return the table of verdicts, and the causes of differences, each once."""
    cells = [["job", "verdict", "compared"]]
    cells += [[found["job"], found["verdict"], shortened(found["lines"][1])] for found in rows]
    causes = dict.fromkeys(line for found in rows for line in found["lines"] if line.startswith("  different: "))
    same = sum(not found["status"] for found in rows)
    total = f"{same} of {plural(len(rows), 'job')} bit-identical"
    return ["", *table_lines(cells, left=(0, 1, 2)), "", f"  {total}", *causes, f"  trained now  {folder}"]


def register() -> None:
    """Register this sweeper with Hydra."""
    Plugins.instance().register(ReproductionSweeper)
