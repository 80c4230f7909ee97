"""Prints the hashes of seven short trainings, unbroken and killed: what must not change when code is moved or renamed.

    python tests/hashes.py      # or make hashes; keep the output, change the code, compare

Each training is done once from start to end, and once killed with SIGKILL on the way and resumed. rnnscope is driven by its
command line alone and looked at through the files that it leaves, so this works before and after any move inside it.
Hashes are those of one machine and one torch: other CPUs and versions have other last bits.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SMALL = [
    "text=text.txt",
    "trainer=cpu",
    "trainer.threads=1",
    "trainer.precision=float32",
    "trainer.max_steps=400",
    "trainer.val_every=100",
    "trainer.checkpoint_every=50",
    "model.hidden_size=24",
    "model.embedding_size=16",
    "dataset.batch_size=4",
    "dataset.sequence_length=16",
    "monitor.scalars_every=5",
    "monitor.histograms_every=200",
    "monitor.sample_length=30",
]
TRAININGS = {
    "lstm": ["model.num_layers=2", "model.dropout=0.2", "model.residual=true"],
    "gru": ["model=gru"],
    "rnn_one_hot": ["model=rnn", "model.input=one_hot"],
    "words": ["dataset.level=word", "dataset.vocabulary_size=40"],
    "samples": ["dataset.windows=samples", "dataset.start_end=line", "model.dropout=0.2"],
    "bytes_reset": ["dataset.level=byte", "trainer.state_reset=0.3"],
    "two_processes": ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "model.dropout=0.2"],
}
FILES = ("model.safetensors", "metrics.csv", "samples.jsonl")
KILL_AT = 165  # steps: some rows after the checkpoint of step 150, which are logged again
AT_ONCE = 2  # trainings


def write_text(path: Path) -> None:
    """Write lines of made-up words, some of them not ASCII, the same every time."""
    draw = random.Random(5)
    vocabulary = ["".join(draw.choices("abcdefghäé", k=draw.randint(1, 6))) for _ in range(50)]
    text = " ".join(word + "\n" * (draw.random() < 0.1) for word in draw.choices(vocabulary, k=3000))
    path.write_text(text, encoding="utf-8")


def start(outputs: Path, *words: str) -> "subprocess.Popen[bytes]":
    """Start `rnnscope <words>` beside the text, in a process group of its own; what it prints goes to a file in `outputs`."""
    outputs.mkdir(exist_ok=True)
    command, environment = [sys.executable, "-m", "rnnscope", *words], {**os.environ, "RNNSCOPE_OUTPUTS": str(outputs)}
    with (outputs / "said.txt").open("ab") as said:
        return subprocess.Popen(
            command, cwd=outputs.parent, env=environment, start_new_session=True, stdout=said, stderr=subprocess.STDOUT
        )


def end(outputs: Path, process: "subprocess.Popen[bytes]") -> Path:
    """Wait for a training that must succeed and return its run folder."""
    if process.wait() != 0:
        raise SystemExit((outputs / "said.txt").read_text(encoding="utf-8"))
    return only_run(outputs)


def only_run(outputs: Path) -> Path:
    (record,) = outputs.glob("runs/*/*/run.json")
    return record.parent


def train(outputs: Path, words: list[str]) -> Path:
    """Train from start to end and return the run folder."""
    return end(outputs, start(outputs, "train", *words))


def train_killed(outputs: Path, words: list[str]) -> Path:
    """Train until the step KILL_AT is logged, kill all its processes, resume, and return the run folder."""
    process = start(outputs, "train", *words)
    while last_step(outputs) < KILL_AT and process.poll() is None:
        time.sleep(0.005)
    if process.poll() is not None:
        raise SystemExit(f"it ended before it was killed\n{(outputs / 'said.txt').read_text(encoding='utf-8')}")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return end(outputs, start(outputs, "resume", f"run={only_run(outputs)}"))


def last_step(outputs: Path) -> int:
    """Return the step of the last whole row of metrics.csv, 0 where there is none yet."""
    lines = [line for path in outputs.glob("runs/*/*/metrics.csv") for line in path.read_bytes().splitlines(keepends=True)]
    rows = [line for line in lines[1:] if line.endswith(b"\n")]
    return int(rows[-1].partition(b",")[0]) if rows else 0


def hashes(run: Path) -> list[str]:
    """Return the beginning of the SHA-256 of each of FILES."""
    return [hashlib.sha256((run / name).read_bytes()).hexdigest()[:16] for name in FILES]


def both(folder: Path, name: str) -> tuple[str, list[str], bool]:
    """Do one training both ways; return its name, its hashes, and whether the resumed one has the same."""
    words = [*SMALL, *TRAININGS[name]]
    whole = hashes(train(folder / f"{name}-whole", words))
    return name, whole, hashes(train_killed(folder / f"{name}-killed", words)) == whole


def main() -> int:
    """Print a line for each training and return 0 if every resumed one has the hashes of the unbroken one."""
    good = True
    print(f"{'':<14}" + "".join(f"{name:<19}" for name in FILES) + "killed and resumed")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        write_text(Path(folder, "text.txt"))
        for name, found, same in pool.map(lambda name: both(Path(folder), name), TRAININGS):
            print(
                f"{name:<14}" + "".join(f"{digest:<19}" for digest in found) + ("the same" if same else "DIFFERS"), flush=True
            )
            good &= same
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
