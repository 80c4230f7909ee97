"""Makes tests/golden/format_<n>/: a folder with runs of today's format, which every later version must still open.

    python tests/golden/make.py

Run it once for each format that is released, from a clean checkout (else the runs carry a code.patch), and commit what it
leaves. A folder that exists stays as it is: it is the past. tests/test_golden.py finds the new one by itself.
"""

import json
import random
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
SWEEP = ["-m", "name=rates", "optimizer.lr=0.01,0.02", "trainer.max_steps=300", "monitor.scalars_every=10"]
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
    sweep = start(project, "train", "text=text.txt", *SMALL, *SWEEP)
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
    """Write what each run says and how well it predicts the text, by its name."""
    from rnnscope import load

    text, expected = (project / "text.txt").read_text(encoding="utf-8"), {}
    for name in RUNS:
        (folder,) = (project / "outputs/runs" / name).iterdir()
        run = load(str(folder))
        said = run.sample(PROMPT, LENGTH, seed=SEED)
        expected[name] = {"prompt": PROMPT, "length": LENGTH, "seed": SEED, "sample": said, "loss": run.score(text).loss}
    path = project / "expected.json"
    path.write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Make the folder of the format that rnnscope writes today."""
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary)
        write_text(project / "text.txt")
        train_all(project)
        strip(project)
        write_expected(project)
        number = json.loads(next(run_folders(project)).joinpath("run.json").read_text(encoding="utf-8"))["schema"]
        target = Path(__file__).parent / f"format_{number}"
        assert not target.exists(), f"{target} exists"
        shutil.copytree(project, target)
    print(target)


if __name__ == "__main__":
    main()
