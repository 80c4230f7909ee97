"""A lock belongs to one process at a time and goes with it, whatever ended it and whatever it had started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from messages import user_error

from rnnscope.lock import Lock
from rnnscope.runs.lock import RunLock, is_locked

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from rnnscope.lock import Lock
lock = Lock(Path(sys.argv[1]))
print(lock.acquire(), subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL).pid, flush=True)
time.sleep(60)
"""


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    assert not is_locked(path)
    assert not path.exists()
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        taken, child = holder.stdout.readline().split()
        try:
            assert taken == "True"
            assert is_locked(path)
            assert not Lock(path).acquire(wait=False)
            with user_error(tmp_path, "another process"), RunLock(path):
                pass
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            assert not is_locked(path)  # though the child lives on
        finally:
            os.kill(int(child), signal.SIGKILL)
    assert path.exists()


def test_release_and_take_again(tmp_path: Path) -> None:
    lock, other = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert lock.acquire()
    assert not other.acquire(wait=False)
    lock.release()
    lock.release()
    assert other.acquire(wait=False)
    assert is_locked(tmp_path / "lock")
    other.release()
    assert not is_locked(tmp_path / "lock")
