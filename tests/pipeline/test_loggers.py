"""MLflow and W&B, really installed: what a run logs is read back from their own files. `make test-loggers` installs them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY

from rnnscope.config.compose import compose_command
from rnnscope.pipeline.fit import fit
from rnnscope.pipeline.options import RunOptions
from rnnscope.pipeline.resume import resume_run
from rnnscope.runs.record import Record

pytestmark = [pytest.mark.usefixtures("outputs"), pytest.mark.filterwarnings("ignore")]
EVERY_STEP = ["monitor.scalars_every=1", "trainer.max_steps=20", "schedule=constant"]
FILES = {"config.yaml", "vocabulary.json", "model.safetensors", "run.json", "metrics.csv", "samples.jsonl"}


def trained_twice(logger: str, story: Path) -> Any:
    """Return the result of a run of 20 steps that was resumed up to step 30, with the logger both times."""
    words = [*TINY, *EVERY_STEP, "dataset=text_files", f"dataset.corpus.path={story}", f"logger={logger}"]
    composition = compose_command(words)
    first = fit(composition.config, options=RunOptions(extensions=composition.extensions))
    return resume_run(first.run, {"trainer.max_steps": 30}, options=RunOptions(extensions=composition.extensions))


def table(result: Any, column: str) -> dict[int, float]:
    """Return what metrics.csv says of a column, by step."""
    header, *rows = [line.split(",") for line in result.run.metrics.read_text().splitlines()]
    return {int(row[0]): float(row[header.index(column)]) for row in rows if row[header.index(column)]}


def test_mlflow(story, outputs):
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    result = trained_twice("mlflow", story)
    client = MlflowClient(f"sqlite:///{outputs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rnnscope")
    (run,) = client.search_runs([experiment.experiment_id])  # one for both sessions
    assert run.info.run_id == Record.read(result.run.record).values["loggers"]["mlflow"]
    assert run.info.status == "FINISHED"
    assert run.data.params["model.hidden_size"] == "16"
    for column in ("train/loss", "val/loss", "learning_rate", "update_size/all", "train/accuracy"):
        history = {point.step: point.value for point in client.get_metric_history(run.info.run_id, column)}
        assert history == pytest.approx(table(result, column), rel=1e-6), column
    assert len(client.get_metric_history(run.info.run_id, "val/loss")) == 3
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files >= FILES
    samples = [json.loads(line) for line in result.run.samples.read_text().splitlines()]
    for sample in samples:
        path = f"samples/temperature_{sample['temperature']}/step_{sample['step']:08}.txt"
        text = Path(client.download_artifacts(run.info.run_id, path)).read_text(encoding="utf-8")
        assert text == sample["text"]


def records(path: Path) -> Iterator[Any]:
    """Yield the records of a .wandb file: LevelDB's log format after a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    data, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768  # what is left of a block is empty
            continue
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        if not kind:
            return
        whole += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last of several
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def test_wandb(story, outputs):
    wandb = pytest.importorskip("wandb")
    result = trained_twice("wandb", story)
    wandb.teardown()  # its own process writes the last lines; at the end of a command it is waited for
    sessions = sorted((result.run.path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(sessions) == 2
    found: list[Any] = [record for path in sessions for record in records(path)]
    runs = [record.run for record in found if record.WhichOneof("record_type") == "run"]
    assert {run.run_id for run in runs} == {Record.read(result.run.record).values["id"]}
    config = {item.key or "/".join(item.nested_key): item.value_json for run in runs for item in run.config.update}
    config |= {item.key: item.value_json for record in found for item in record.config.update}
    assert config["model.hidden_size"] == "16"
    rows = [{item.key or "/".join(item.nested_key): item.value_json for item in record.history.item} for record in found]
    for column in ("train/loss", "val/loss", "update_size/all"):
        logged = {int(row["trainer/global_step"]): float(row[column]) for row in rows if column in row}
        assert logged == pytest.approx(table(result, column), rel=1e-6), column
    artifacts = [record.artifact for record in found if record.WhichOneof("record_type") == "artifact"]
    names = {content.path for artifact in artifacts if artifact.type == "run" for content in artifact.manifest.contents}
    assert names == FILES
    tables = "".join(path.read_text() for path in (result.run.path / "wandb").rglob("*.table.json"))
    last = json.loads(result.run.samples.read_text().splitlines()[-1])
    assert json.dumps(last["text"]) in tables or json.dumps(last["text"], ensure_ascii=False) in tables
