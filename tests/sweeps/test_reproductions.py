"""`reproduce sweep=`: every job again, a verdict for each; killed and started again it goes on."""

import json
import shutil
from pathlib import Path

import pytest
from messages import assert_says, line_with
from sweep_tools import contents, folder_of
from torture import SMALL, Kill, rnnscope, said, write_text

SIZES = [*SMALL, "trainer.max_steps=12", "trainer.val_every=6", "trainer.checkpoint_every=4", "monitor.scalars_every=2"]
NAMES = ["seed-1", "seed-2", "seed-3"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An outputs folder with a sweep of three jobs."""
    outputs = tmp_path_factory.mktemp("swept")
    write_text(outputs / "text.txt", 1500)
    assert rnnscope(outputs, "train", "-m", "name=s", "seed=1,2,3", f"text={outputs / 'text.txt'}", *SIZES) == 0, said(outputs)
    return outputs


@pytest.fixture
def outputs(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "outputs", ignore=shutil.ignore_patterns("said.txt", "cache")))


def again(outputs: Path) -> Path:
    """Return the folder of the only reproduction of the sweep."""
    (found,) = (folder_of(outputs) / "reproductions").iterdir()
    return found


def verdicts(folder: Path) -> dict[str, str | None]:
    records = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/run.json"))}
    return {name: (record.get("verdict") or {}).get("kind") for name, record in records.items()}


def test_killed_and_started_again_it_goes_on(outputs: Path) -> None:
    assert rnnscope(outputs, "reproduce", "sweep=s", kill=Kill("in a step, all written", 18)) == -9
    folder = again(outputs)
    assert verdicts(folder) == {"seed-1": "bit-identical", "seed-2": None}
    done = contents(folder / "seed-1")
    assert rnnscope(outputs, "reproduce", "sweep=s") == 0, said(outputs)
    assert again(outputs) == folder
    assert contents(folder / "seed-1") == done
    assert verdicts(folder) == dict.fromkeys(NAMES, "bit-identical")
    went_on = json.loads((folder / "seed-2" / "run.json").read_text(encoding="utf-8"))["segments"]
    assert [segment["from_step"] for segment in went_on] == [0, 4]
    for name in NAMES:
        assert (folder / name / "metrics.csv").read_bytes() == (folder_of(outputs) / name / "metrics.csv").read_bytes()


def test_the_worst_verdict_is_the_exit_status(outputs: Path) -> None:
    sweep = folder_of(outputs)
    record = json.loads((sweep / "seed-2" / "run.json").read_text(encoding="utf-8"))
    drifted = {**record, "weights_sha256": "0" * 64, "packages": {**record["packages"], "torch": "1.0"}}
    (sweep / "seed-2" / "run.json").write_text(json.dumps(drifted), encoding="utf-8")
    assert rnnscope(outputs, "reproduce", "sweep=s") == 3, said(outputs)
    line_with(said(outputs), "seed-2", "equal within tolerance", "largest difference 0 nats")
    line_with(said(outputs), "different", "torch 1.0 ->")

    shutil.rmtree(sweep / "seed-3")
    (outputs / "said.txt").unlink()
    assert rnnscope(outputs, "reproduce", "sweep=s", "until=4", "json=true") == 1
    lines = said(outputs).splitlines()
    shown = json.loads("\n".join(lines[lines.index("[") : lines.index("]") + 1]))
    assert [(row["job"], row["verdict"], row["status"]) for row in shown] == [
        ("seed-1", "bit-identical", 0),
        ("seed-2", "bit-identical", 0),
        ("seed-3", "not reproduced", 1),
    ]
    assert "never trained" in shown[2]["lines"][1]


def test_a_sweep_that_is_not_there(outputs: Path) -> None:
    for path in folder_of(outputs).glob("seed-*"):
        shutil.rmtree(path)
    assert rnnscope(outputs, "reproduce", "sweep=x") == 1
    assert_says(said(outputs).splitlines()[-1], "sweep=x", outputs / "sweeps", "s")
    assert rnnscope(outputs, "reproduce", "sweep=s", "run=latest") == 1
    assert_says(said(outputs).splitlines()[-1], "run=", "sweep=")
    assert rnnscope(outputs, "reproduce", "sweep=s") == 1
    assert_says(said(outputs).splitlines()[-1], "sweep=s", "3 jobs", "trained")
