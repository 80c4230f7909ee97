"""Preparing a long text takes little memory, whatever its size."""

import subprocess
import sys
from pathlib import Path

import pytest

GROWTH = """
import sys, threading, time
from pathlib import Path
from rnnscope.data.config import CorpusConfig, DatasetConfig
from rnnscope.data.module import TextData

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

def watch():
    while True:
        seen.append(anonymous())
        time.sleep(0.005)

seen = [anonymous()]
threading.Thread(target=watch, daemon=True).start()
path, level, windows = sys.argv[1:]
config = DatasetConfig(corpus=CorpusConfig(path), level=level, start_end="line", windows=windows)
text = TextData.from_config(config, cache_dir=Path(path).parent / "cache")
next(iter(text.prepare().train_dataloader()))
print(text.report, max(seen) - seen[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say what a process takes")
@pytest.mark.parametrize(("level", "windows"), [("char", "samples"), ("word", "samples")])
def test_preparing_a_long_text_takes_little_memory(tmp_path, level, windows):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{i % 1000} words in a line\n" for i in range(2_000_000)))  # 38 MB
    arguments = [sys.executable, "-c", GROWTH, str(path), level, windows]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) < 90_000  # kB: the lines as a list would take 140 MB
