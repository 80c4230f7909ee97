import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from messages import assert_says, user_error

from rnnscope.data.cache import cached, read_manifest
from rnnscope.errors import UserError


def fill_with(text: str):
    def fill(folder: Path) -> dict:
        (folder / "a.ids").write_text(text)
        return {"made": text}

    return fill


def test_filled_once(tmp_path):
    folder = tmp_path / "streams" / "key"
    assert cached(folder, fill_with("one"), print)["made"] == "one"
    assert cached(folder, fill_with("two"), print)["made"] == "one"
    assert (folder / "a.ids").read_text() == "one"


@pytest.mark.parametrize("damage", ["missing", "shorter", "manifest"])
def test_a_damaged_folder_is_made_again(tmp_path, damage):
    folder = tmp_path / "key"
    cached(folder, fill_with("one"), print)
    if damage == "missing":
        (folder / "a.ids").unlink()
    elif damage == "shorter":
        (folder / "a.ids").write_text("on")
    else:
        (folder / "manifest.json").write_text('{"files": ')
    assert read_manifest(folder) is None
    assert cached(folder, fill_with("two"), print)["made"] == "two"


def test_what_fails_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "a.ids").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path / "key", fail, print)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.lock"]
    assert cached(tmp_path / "key", fill_with("one"), print)["made"] == "one"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES])
def test_a_disk_that_cannot_be_written(tmp_path, code):
    def fail(folder):
        raise OSError(code, os.strerror(code))

    with user_error(tmp_path, os.strerror(code), "RNNSCOPE_OUTPUTS"):
        cached(tmp_path / "key", fail, print)
    assert not (tmp_path / "key.partial").exists()


def test_other_errors_are_not_hidden(tmp_path):
    def fail(folder):
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output") as error:
        cached(tmp_path / "key", fail, print)
    assert not isinstance(error.value, UserError)


ENCODE = """
import resource, sys
from pathlib import Path
from rnnscope.data.config import CorpusConfig, DatasetConfig
from rnnscope.data.prepare import prepare
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
print("ready", flush=True)
text = prepare(DatasetConfig(corpus=CorpusConfig(sys.argv[1])), Path(sys.argv[2]), None, lambda line: None)
print(text.fingerprint["streams"], flush=True)
"""


def start(text: Path, cache: Path, largest_file: int = 1 << 40) -> subprocess.Popen:
    arguments = [sys.executable, "-c", ENCODE, str(text), str(cache), str(largest_file)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(f"line {i} of a text with é in it\n" for i in range(300_000)), "utf-8")
    return path


@pytest.fixture(scope="module")
def streams(text, tmp_path_factory):
    process = start(text, tmp_path_factory.mktemp("whole"))
    return process.communicate(timeout=60)[0].split("\n")[1]


def test_two_processes_at_once(text, streams, tmp_path):
    processes = [start(text, tmp_path) for _ in range(2)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [output.split("\n")[1] for output, _ in results] == [streams] * 2
    assert len([path for path in (tmp_path / "streams").iterdir() if path.is_dir()]) == 1


def test_killed_at_many_moments_leaves_nothing_that_counts_as_whole(text, streams, tmp_path):
    killed = 0
    for moment in range(8):
        process = start(text, tmp_path)
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.02 * moment)
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate(timeout=60)
        killed += streams not in output
        for folder in (tmp_path / "streams").glob("*"):
            if folder.is_dir() and not folder.name.endswith(".partial"):
                assert read_manifest(folder) is not None
    assert killed >= 2
    assert start(text, tmp_path).communicate(timeout=60)[0].split("\n")[1] == streams
    assert not list((tmp_path / "streams").glob("*.partial"))


def assert_refused(errors: str, cache: Path, reason: str) -> None:
    """The last line of a traceback names the cache, the reason and the way out."""
    assert errors.endswith("\n")
    assert_says(errors.splitlines()[-1], "rnnscope.errors.UserError", cache / "streams", reason, "RNNSCOPE_OUTPUTS")


def test_a_file_that_may_not_grow_while_encoding(text, streams, tmp_path):
    _, errors = start(text, tmp_path, largest_file=3_000_000).communicate(timeout=60)
    assert_refused(errors, tmp_path, "File too large")
    assert not [path for path in (tmp_path / "streams").iterdir() if path.is_dir()]
    assert start(text, tmp_path).communicate(timeout=60)[0].split("\n")[1] == streams


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 12 MB, too small for the text and its ids; only root can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no permission to mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_while_encoding(text, streams, small_disk):
    assert text.stat().st_size > 9_000_000
    _, errors = start(text, small_disk).communicate(timeout=60)
    assert_refused(errors, small_disk, "No space left on device")
    assert not [path for path in (small_disk / "streams").iterdir() if path.is_dir()]
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert start(text, small_disk).communicate(timeout=60)[0].split("\n")[1] == streams
