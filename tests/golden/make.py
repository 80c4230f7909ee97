"""Makes tests/golden/format_<n>/: a folder with runs of today's format, which every later version must still open.

    python tests/golden/make.py

Run it once for each format that is released, from a clean checkout (else the runs carry a code.patch), and commit what it
leaves. A folder that exists stays as it is: it is the past. tests/test_golden.py finds the new one by itself.
"""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SMALL = [
    "trainer=cpu",
    "trainer.threads=1",
    "trainer.precision=float32",
    "trainer.max_steps=40",
    "trainer.val_every=20",
    "trainer.checkpoint_every=20",
    "model.hidden_size=8",
    "model.embedding_size=8",
    "optimizer.lr=0.02",
    "schedule.warmup_steps=5",
    "dataset.batch_size=4",
    "dataset.sequence_length=12",
    "monitor.scalars_every=4",
    "monitor.updates_every=8",
    "monitor.sample_length=24",
]
RUNS = {
    "char_stream": ["dataset.windows=stream", "model.num_layers=2", "model.dropout=0.2", "model.residual=true"],
    "word_samples": ["dataset.windows=samples", "dataset.level=word", "dataset.start_end=line", "dataset.vocabulary_size=15"],
    "two_processes": ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "model.dropout=0.2"],
}
SWEEP = ["train", "-m", "text=text.txt", *SMALL, "name=rates", "optimizer.lr=0.01,0.02", "trainer.max_steps=300"]
SWEEP += ["monitor.scalars_every=10"]
KILLED = "lr-0.02"  # the sweep's second job, in mid-training
PROMPT, LENGTH, SEED = "the", 60, 7


def write_text(path: Path) -> None:
    """Write some lines about animals, the same every time."""
    draw = random.Random(5)
    nouns, adjectives = ["cat", "dog", "bird", "fox", "châtelaine"], ["old", "small", "naïve", "red"]

    def noun() -> str:
        return " ".join([draw.choice(["the", "a"]), *draw.sample(adjectives, draw.randint(0, 2)), draw.choice(nouns)])

    lines = [f"{noun()} {draw.choice(['sees', 'hears', 'follows'])} {noun()}.\n" for _ in range(160)]
    path.write_text("".join(lines), encoding="utf-8")


def start(project: Path, *words: str) -> "subprocess.Popen[bytes]":
    """Start `rnnscope <words>` in the folder `project`."""
    return subprocess.Popen([sys.executable, "-m", "rnnscope", *words], cwd=project, stdout=subprocess.DEVNULL)


def train_all(project: Path) -> None:
    """Train every run, and the sweep until it is killed in its second job."""
    for name, words in RUNS.items():
        assert start(project, "train", "text=text.txt", f"name={name}", *SMALL, *words).wait() == 0
    sweep = start(project, *SWEEP)
    metrics = project / "outputs/sweeps/rates" / KILLED / "metrics.csv"
    while not (metrics.exists() and metrics.read_text(encoding="utf-8").count("\n") > 10):
        assert sweep.poll() is None
        time.sleep(0.01)
    sweep.send_signal(signal.SIGKILL)
    sweep.wait()


def run_folders(project: Path) -> Iterator[Path]:
    """Yield the folder of each run, and of each job of the sweep."""
    yield from (path.parent for path in sorted(project.glob("outputs/*/*/*/run.json")))


def strip(project: Path) -> None:
    """Remove what no test needs: charts, copies of checkpoints, the cache, and where this checkout lies."""
    shutil.rmtree(project / "outputs/cache")
    for run in run_folders(project):
        assert not (run / "code.patch").exists(), "commit your changes first: they would become part of the runs"
        for path in (*run.glob("events.out.*"), *run.glob("checkpoints/best.*"), *run.glob("checkpoints/previous.*")):
            path.unlink()
        program = json.loads((run / "run.json").read_text(encoding="utf-8"))["command"][0]
        for path in (run / "run.json", run / "train.log"):
            text = path.read_text(encoding="utf-8").replace(f"{project}/", "").replace(program, "rnnscope")
            path.write_text(text, encoding="utf-8")


def write_expected(project: Path) -> None:
    """Write what each run says and how well it predicts, by its name, and the command line that goes on with the sweep."""
    from rnnscope import load

    text, runs = (project / "text.txt").read_text(encoding="utf-8"), {}
    for name in RUNS:
        (folder,) = (project / "outputs/runs" / name).iterdir()
        run = load(str(folder))
        said = {"prompt": PROMPT, "length": LENGTH, "seed": SEED, "text": run.sample(PROMPT, LENGTH, seed=SEED)}
        runs[name] = {"sample": said, "score": run.score(text).loss, "evaluate": evaluate(project, name)}
    path, expected = project / "expected.json", {"runs": runs, "sweep": SWEEP}
    path.write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def evaluate(project: Path, run: str) -> float:
    """Return the first number that `rnnscope evaluate` prints: nats per token on the run's own validation text."""
    command = [sys.executable, "-m", "rnnscope", "evaluate", f"run={run}"]
    printed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout
    return first_score(printed)


def first_score(printed: str) -> float:
    """Return the first number with four decimals."""
    return float(re.findall(r"\b\d+\.\d{4}\b", printed)[0])


def main() -> None:
    """Make the folder of the format that rnnscope writes today."""
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary)
        write_text(project / "text.txt")
        train_all(project)
        write_expected(project)
        strip(project)
        number = json.loads(next(run_folders(project)).joinpath("run.json").read_text(encoding="utf-8"))["schema"]
        target = Path(__file__).parent / f"format_{number}"
        assert not target.exists(), f"{target} exists"
        shutil.copytree(project, target)
    print(target)


if __name__ == "__main__":
    main()
