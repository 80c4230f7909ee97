"""Running a sweep in its folder: the lock, the manifest, signals, and the output."""

import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Self

from rnnscope.errors import UserError
from rnnscope.format import output_width
from rnnscope.interrupts import ends
from rnnscope.monitor.budget import SIGNALS
from rnnscope.runs.lock import is_locked
from rnnscope.sweeps.job_folder import LOST, JobFolder, JobState, service_folder, sweep_held
from rnnscope.sweeps.launch import JobLauncher
from rnnscope.sweeps.live_status import LiveStatus, closing_lines
from rnnscope.sweeps.manifest import Manifest
from rnnscope.sweeps.plan import PlannedJob

EVERY = 1.0  # seconds between two checks for the mark


class Stop:
    """Catches SIGINT and SIGTERM in a `with` block, passing them on to earlier handlers, and checks for the mark.

    The mark is a file in the sweep's folder that asks every job to stop, on any machine.

    Args:
        sweep: the sweep's folder.
        on_signal: called with the name of the first signal.
    """

    def __init__(self, sweep: Path, on_signal: Callable[[str], object] = lambda name: None) -> None:
        self.mark = service_folder(sweep) / "stop"
        self.signal: str | None = None
        self._on_signal = on_signal
        self._handlers: dict[int, Any] = {}
        self._looked = -EVERY

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            ours = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # as under nohup
            self._handlers = {number: signal.signal(number, self._handle) for number in ours}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name
        self._on_signal(self.signal)
        before = self._handlers.get(number)
        if callable(before) and not ends(before):
            before(number, frame)

    def asked(self) -> str | None:
        """Return what asked this process to stop, or None; cheap enough to call after every step."""
        if self.signal is None and time.monotonic() - self._looked >= EVERY:
            self._looked = time.monotonic()
            if not self.mark.parent.is_dir():
                self.signal = "the sweep's folder was moved or deleted"
            elif self.mark.exists():
                self.signal = self.mark.read_text(encoding="utf-8").strip() or "the sweep was stopped"
        return self.signal


class RunningSweep:
    """One session of a sweep: in a `with` block, `run` jobs, then `finish`.

    Args:
        manifest: of the sweep as typed; an existing one in the folder is taken over.
        seconds: between two lines on a running job.
        retry_failed: repeat jobs that failed or diverged; their folders are moved aside.
    """

    def __init__(self, launcher: JobLauncher, manifest: Manifest, seconds: float, retry_failed: bool) -> None:
        self.folder, self.manifest = manifest.folder, manifest
        self.stop = Stop(self.folder, self._on_signal)
        self._launcher, self._retry_failed = launcher, retry_failed
        self._live_status = LiveStatus(self._changed, seconds)
        self._open, self._wanted, self._made = ExitStack(), dict[str, None](), False

    def job(self, name: str) -> JobFolder:
        return JobFolder(self.folder, name)

    def __enter__(self) -> Self:
        self._take_over()
        self._made = not self.folder.exists()
        try:
            service_folder(self.folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder} cannot be created ({error.strerror}); set RNNSCOPE_OUTPUTS") from error
        self._open.enter_context(sweep_held(self.folder, self._live_status.say))
        self._take_over()  # the process that held the lock may have written it
        self.stop.mark.unlink(missing_ok=True)
        self._open.enter_context(self.stop)
        self._live_status.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live_status.close()
        if exception[0] is not None and self._made and not any(path.is_dir() for path in self.folder.glob("[!.]*")):
            shutil.rmtree(self.folder)  # no job was started: the next attempt may be a different sweep
        self._open.close()

    def _take_over(self) -> None:
        if (old := Manifest.read(self.folder)) is not None:
            self.manifest.take_over(old)

    def _on_signal(self, name: str) -> None:
        self.stop.mark.write_text(f"{name}\n", encoding="utf-8")
        self._live_status.say(
            f"{name}: running jobs save and stop, no further jobs are started (press Ctrl-C again to exit at once)"
        )

    def _changed(self, job: JobFolder, state: JobState) -> None:
        with self._live_status.lock, suppress(OSError):  # sweep.yaml shows it for reading only; `finish` writes it again
            if self.manifest.show(job.name, state):
                self.manifest.write()

    def at_once(self, jobs: int) -> int:
        """Return how many of `jobs` run at the same time."""
        return self._launcher.at_once(jobs, str(self.manifest.fixed.get("trainer.accelerator", "auto")))

    def run(self, jobs: Sequence[PlannedJob], total: int) -> None:
        """Run those of `jobs` that are not done yet.

        Args:
            total: jobs of the whole sweep, which decides the threads of each job, also if only some are left.

        Raises:
            UserError: if a job's folder has a different config, or the launcher cannot launch.
        """
        for job in jobs:
            job.check(self.job(job.name).state())
        if not self._wanted:
            self._say_plan(jobs, total)
        todo = [job for job in jobs if self._is_to_do(self.job(job.name))]
        with self._live_status.lock:
            for job in jobs:
                self._wanted[job.name] = None
                self.manifest.jobs.setdefault(job.name, {"overrides": job.words})
                self.manifest.show(job.name, self.job(job.name).state(alive=False))
            self.manifest.write()
        self._live_status.follow(self.job(job.name) for job in jobs)
        todo.sort(key=lambda job: is_locked(self.job(job.name).run.lock))  # jobs that are still running elsewhere come last
        try:
            self._launcher.run(self.folder, todo, self.at_once(total), self.stop.asked)
        except KeyboardInterrupt:  # a second Ctrl-C: the table is still printed
            self.stop.signal = self.stop.signal or "SIGINT"
        except UserError:
            self._check_folder()
            raise

    def _check_folder(self) -> None:
        if not service_folder(self.folder).is_dir():
            raise UserError(
                f"{self.folder} was moved or deleted meanwhile; move it back, and the same command continues the sweep"
            )

    def _say_plan(self, jobs: Sequence[PlannedJob], total: int) -> None:
        names = self.manifest.jobs if self.manifest.kind == "optuna" else {job.name for job in jobs}
        before = sum(self.job(name).state().status == "finished" for name in names)
        what = "trials" if self.manifest.kind == "optuna" and "seed" not in self.manifest.swept else "jobs"
        words = [f"sweep {self.manifest.name}: {total} {what}"]
        words += [f"{before} finished before"] if before else []
        words += [f"{self.at_once(total)} at once"] if self.at_once(total) > 1 else []
        vary = f"{', '.join(self.manifest.swept)} {'vary' if len(self.manifest.swept) > 1 else 'varies'}"
        self._live_status.say(f"{', '.join(words)}; {vary}; {self.folder}")

    def _is_to_do(self, job: JobFolder) -> bool:
        state = job.state(alive=False)
        lost = state.status in LOST and (state.record is None or state.get("status") in LOST)
        if state.status == "finished" or (lost and not self._retry_failed):
            return False
        if lost and (aside := job.move_aside(state.status)):
            self._live_status.say(f"{job.name} {state.status} before; its folder is now {aside.name}")
        job.make_ready()
        return True

    def finish(self) -> None:
        """Print the table, and raise if jobs have not finished.

        Raises:
            KeyboardInterrupt: if the sweep was asked to stop.
            UserError: if its folder is gone, or a job of this session has not finished; if none could start, the sweep's
                folder is removed.
        """
        self._live_status.close()
        self._check_folder()
        states = {name: self.job(name).state(alive=False) for name in self.manifest.jobs}
        for name, state in states.items():
            self.manifest.show(name, state)
        self.manifest.write()
        if self.manifest.kind == "optuna" and not self.stop.asked():
            for name in [name for name, state in states.items() if state.status == "waiting" and name not in self._wanted]:
                self._live_status.say(f"{name}  its folder was removed: its result counts, and it is not trained again")
                del states[name]
        if self._made and states and all(state.status == "failed" and state.record is None for state in states.values()):
            raise UserError(f"no job could start: {next(iter(states.values())).reason}")
        for line in closing_lines(self.folder, states, output_width(), "seed" in self.manifest.swept):
            self._live_status.say(line)
        if self.stop.asked():
            self._live_status.say("stopped; the same command continues the sweep")
            raise KeyboardInterrupt
        _raise_for({name: states[name] for name in self._wanted})


def _raise_for(states: dict[str, JobState]) -> None:
    kinds = (
        (LOST, "failed or diverged", "hydra.sweeper.retry_failed=true repeats them"),
        (("interrupted", "killed", "waiting"), "have not finished", "the same command continues them"),
    )
    for statuses, words, remedy in kinds:
        names = [name for name, state in states.items() if state.status in statuses]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise UserError(f"{len(names)} of {len(states)} jobs {words}: {', '.join(names[:3])}{more}; {remedy}")
