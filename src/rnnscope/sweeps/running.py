"""A sweep at work in its folder: locked against another process, its manifest kept, signals heard, its lines printed."""

import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Self

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from rnnscope.errors import UserError
from rnnscope.runs.folder import check_run_name, outputs_folder
from rnnscope.runs.lock import RunLock, is_locked
from rnnscope.sweeps.job_folder import LOST, JobFolder, JobState, held, service_folder
from rnnscope.sweeps.jobs import Job, check_same, fixed_settings, name_of
from rnnscope.sweeps.launch import Launching
from rnnscope.sweeps.live_status import LiveStatus, closing_lines
from rnnscope.sweeps.manifest import BY_JOB, Manifest
from rnnscope.sweeps.plan import Plan
from rnnscope.sweeps.stop import Stop, mark_of


class Sweeping:
    """One go at a sweep: enter it, `run` jobs, leave it, `finish` it.

    Args:
        kind: `grid` or `optuna`.
        first: any job of the sweep.
        seconds: between two lines of a running job.
        retry_failed: do again what failed or diverged before; what there is of it is moved aside.
    """

    def __init__(
        self,
        context: HydraContext,
        config: DictConfig,
        task: TaskFunction,
        plan: Plan,
        kind: str,
        first: Job,
        seconds: float,
        retry_failed: bool,
    ) -> None:
        self.name = name_of(first, plan)
        check_run_name(self.name)
        self.folder = outputs_folder() / "sweeps" / self.name
        self.retry_failed = retry_failed
        swept = {key: plan.typed.get(key, BY_JOB) for key in plan.keys}
        self.manifest = Manifest(self.folder / "sweep.yaml", self.name, kind, swept, fixed_settings(first, plan))
        self.stop = Stop(self.folder, self._on_signal)
        self.live_status = LiveStatus(self._changed, seconds)
        self._writing = threading.Lock()  # of the manifest: what the thread of the lines sees goes there, too
        self._launching = Launching(context, config, task, self.folder, lambda: self.stopped)
        self._open, self._wanted, self._made = ExitStack(), dict[str, None](), False

    def place(self, job: str) -> JobFolder:
        """Return where a job lives."""
        return JobFolder(self.folder, job)

    def __enter__(self) -> Self:
        self._adopt(Manifest.read(self.folder))
        self._made = not self.folder.exists()
        try:
            service_folder(self.folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder} cannot be made ({error.strerror}); set RNNSCOPE_OUTPUTS") from error
        lock = RunLock(service_folder(self.folder) / "sweep.lock")
        self._open.enter_context(held(lock, waiting=self._say_waiting))
        self._adopt(Manifest.read(self.folder))  # the process waited for may have written it
        mark_of(self.folder).unlink(missing_ok=True)
        self._open.enter_context(self.stop)
        self.live_status.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live_status.close()
        if exception[0] is not None and self._made and not any(path.is_dir() for path in self.folder.glob("[!.]*")):
            shutil.rmtree(self.folder)  # nothing was begun: the next try may be another sweep
        self._open.close()

    def _adopt(self, old: Manifest | None) -> None:
        """Go on with the manifest that there is.

        Raises:
            UserError: when it is another sweep's.
        """
        if old is not None:
            self.manifest.check(old)
            self.manifest.jobs, self.manifest.started = old.jobs, old.started

    def _say_waiting(self) -> None:
        self.live_status.say(f"{self.folder} is being worked on by another process: waiting until it ends")

    def _on_signal(self, name: str) -> None:
        mark_of(self.folder).write_text(f"{name}\n", encoding="utf-8")
        self.live_status.say(f"{name}: what is running saves and ends, and no other job begins (Ctrl-C again leaves at once)")

    def _changed(self, place: JobFolder, state: JobState) -> None:
        with self._writing:
            if self.manifest.show(place.name, state):
                self.manifest.write()

    def at_once(self, jobs: int) -> int:
        """Return how many of so many jobs run at the same time."""
        return self._launching.at_once(jobs, str(self.manifest.fixed.get("trainer.accelerator", "auto")))

    def run(self, jobs: Sequence[Job], total: int) -> None:
        """Do those of `jobs` that are not done yet.

        Args:
            total: jobs of the whole sweep: what is left of one that was stopped gets no more threads than the rest had.

        Raises:
            UserError: when a folder of one of them is another job's, or the launcher cannot launch.
        """
        for job in jobs:
            check_same(job, self.place(job.name).state())
        if not self._wanted:
            self._say_plan(total)
        todo = [job for job in jobs if self._is_to_do(job)]
        with self._writing:
            for job in jobs:
                self._wanted[job.name] = None
                self.manifest.note(job.name, job.words)
                self.manifest.show(job.name, self.place(job.name).state(alive=False))
            self.manifest.write()
        self.live_status.follow(self.place(job.name) for job in jobs)
        if todo:
            todo.sort(key=lambda job: is_locked(self.place(job.name).run.lock))  # what an orphan still does comes last
            self._launching.run(todo, self.at_once(total))

    def _say_plan(self, total: int) -> None:
        before = sum(self.place(name).state().status == "finished" for name in self.manifest.jobs)
        words = [f"sweep {self.name}: {total} {'trials' if self.manifest.kind == 'optuna' else 'jobs'}"]
        words += [f"{before} finished before"] if before else []
        words += [f"{self.at_once(total)} at once"] if self.at_once(total) > 1 else []
        self.live_status.say(f"{', '.join(words)}; {', '.join(self.manifest.swept)} vary; {self.folder}")

    def _is_to_do(self, job: Job) -> bool:
        place = self.place(job.name)
        state = place.state(alive=False)
        lost = state.status in LOST and (state.values is None or state.get("status") in LOST)
        if state.status == "finished" or (lost and not self.retry_failed):
            return False
        if lost and (aside := place.move_aside(state.status)):
            self.live_status.say(f"{job.name} {state.status} before: its folder is {aside.name} now")
        place.forget_failure()
        place.forget_death()
        place.remove_stump()
        return True

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Take a second Ctrl-C for the end of what is being done: the table is still printed."""
        try:
            yield
        except KeyboardInterrupt:
            self.stop.signal = self.stop.signal or "SIGINT"

    def finish(self) -> None:
        """Print the table, and tell the caller how it went.

        Raises:
            KeyboardInterrupt: when the sweep was told to end.
            UserError: when a job of this go has not finished; with none of them begun, there is no folder either.
        """
        self.live_status.close()
        states = {name: self.place(name).state(alive=False) for name in self.manifest.jobs}
        for name, state in states.items():
            self.manifest.show(name, state)
        self.manifest.write()
        if self._made and states and all(state.status == "failed" and state.values is None for state in states.values()):
            raise UserError(f"no job could begin: {next(iter(states.values())).reason}")
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        for line in closing_lines(self.folder, states, width):
            self.live_status.say(line)
        if self.stop.asked():
            self.live_status.say("stopped; the same command goes on from here")
            raise KeyboardInterrupt
        _raise_for({name: states[name] for name in self._wanted})

    @property
    def stopped(self) -> bool:
        """Whether the sweep was told to end."""
        return bool(self.stop.asked())


def _raise_for(states: dict[str, JobState]) -> None:
    kinds = (
        (LOST, "failed or diverged", "hydra.sweeper.retry_failed=true does them again"),
        (("interrupted", "killed", "waiting"), "did not get to their end", "the same command goes on with them"),
    )
    for statuses, words, remedy in kinds:
        names = [name for name, state in states.items() if state.status in statuses]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise UserError(f"{len(names)} of {len(states)} jobs {words}: {', '.join(names[:3])}{more}; {remedy}")
