"""Callbacks, loggers and plug-ins that a command line names: real classes of Lightning's, and what a run makes of them."""

import hashlib
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY
from messages import assert_says, user_error
from pytorch_lightning.trainer.connectors.logger_connector import logger_connector

from rnnscope.config.compose import compose_command
from rnnscope.config.extensions import command_words
from rnnscope.config.schema import ExtensionsConfig
from rnnscope.config.validate import recorded_config
from rnnscope.pipeline.fit import fit
from rnnscope.pipeline.options import RunOptions
from rnnscope.pipeline.reproduce import reproduce
from rnnscope.pipeline.resume import resume_run
from rnnscope.runs.record import Record
from rnnscope.training.optimizers import OPTIMIZERS

pytestmark = [pytest.mark.usefixtures("outputs"), pytest.mark.filterwarnings("ignore:.*GPU.*")]
MODULE = '''
import pytorch_lightning as pl

class Count(pl.Callback):
    """Counts every hook that is called, over a resumed run too."""
    def __init__(self):
        self.calls = {"batch_start": 0, "batch_end": 0, "before_step": 0, "val_batch": 0, "val_end": 0, "epoch_end": 0}
    def on_train_batch_start(self, *args): self.calls["batch_start"] += 1
    def on_train_batch_end(self, *args): self.calls["batch_end"] += 1
    def on_before_optimizer_step(self, *args): self.calls["before_step"] += 1
    def on_validation_batch_end(self, *args, **kwargs): self.calls["val_batch"] += 1
    def on_validation_end(self, *args): self.calls["val_end"] += 1
    def on_train_epoch_end(self, *args): self.calls["epoch_end"] += 1
    def state_dict(self): return dict(self.calls)
    def load_state_dict(self, state): self.calls = dict(state)

class Fails(pl.Callback):
    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == 17:
            raise RuntimeError("seventeen")

class Feeds(pl.Callback):
    def __init__(self): self.values = iter(range(3))
    def on_train_batch_end(self, *args): next(self.values)

class FeedsBefore(Feeds):
    def on_train_batch_end(self, *args): pass
    def on_train_batch_start(self, *args): next(self.values)

class Noise(pl.Callback):
    """Changes weights, which is allowed."""
    def on_train_batch_end(self, trainer, task, *args):
        task.model.head.bias.data += 0.01

class Strange(pl.Callback):
    def state_dict(self): return {"what": self.__class__}

class Stateless(pl.Callback):
    def state_dict(self): raise KeyError("what")
'''


OPTIMIZER = """
from dataclasses import dataclass
import rnnscope, torch
from rnnscope.training.config import OptimizerConfig

class Own(torch.optim.SGD):
    def step(self, closure=None): 1 / 0

@dataclass
class OwnConfig(OptimizerConfig):
    lr: float = 0.1

rnnscope.register_optimizer("own", Own, OwnConfig)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a module of the user's."""
    (tmp_path / "own_callbacks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("own_callbacks", None)
    return tmp_path


def trained(story: Path, *words: str) -> Any:
    composition = compose_command([*TINY, "dataset=text_files", f"dataset.corpus.path={story}", *words])
    return fit(composition.config, options=RunOptions(extensions=composition.extensions))


def line_with(what: str, text: str) -> str:
    return next(line for line in text.splitlines() if what in line)


def rows(result: Any) -> bytes:
    return result.run.metrics.read_bytes() + result.run.samples.read_bytes()


SAMPLES = ["dataset.windows=samples", "dataset.start_end=line"]
READY = "callbacks=[learning_rate_monitor,device_stats,timer,model_summary,model_checkpoint,early_stopping]"


@pytest.mark.parametrize(
    "kind",
    [
        ["model.num_layers=2", "model.dropout=0.3", "trainer.val_tokens=150"],
        [*SAMPLES, "model=gru", "schedule=plateau", "schedule.watch=train/loss", "trainer.clip_norm=null"],
        ["optimizer=muon"],
    ],
    ids=["stream", "samples", "muon"],
)
def test_a_run_in_lightnings_loop_is_the_same_to_the_bit(kind, story, folder):
    plain, watched = trained(story, *kind), trained(story, *kind, READY)
    assert watched.weights_hash == plain.weights_hash
    assert rows(watched) == rows(plain)
    assert sorted(path.name for path in (watched.run.path / "lightning_checkpoints").iterdir())


def test_every_hook_is_called_and_state_is_kept(story, folder):
    long = ["dataset.batch_size=16", "dataset.sequence_length=24", "callback_classes=[own_callbacks.Count]"]
    first = trained(story, *long, "trainer.max_steps=13")
    extensions = compose_command([*TINY, *long]).extensions
    resumed = resume_run(first.run, {"trainer.max_steps": 30}, options=RunOptions(extensions=extensions))
    saved = torch.load(resumed.run.checkpoints / "last.ckpt", weights_only=True)["lightning"]
    calls = saved["callbacks"]["Count"]
    per_epoch = saved["fit_loop"]["epoch_loop.batch_progress"]["current"]["ready"]
    assert calls["batch_start"] == calls["batch_end"] == calls["before_step"] == 30
    assert calls["val_end"] == 4  # steps 10, 13, 20 and 30
    assert calls["val_batch"] % calls["val_end"] == 0
    assert (30 - per_epoch) % calls["epoch_end"] == 0  # epochs of equal length, and the begun one


def test_a_callback_that_raises_leaves_a_run_that_goes_on(story, folder, monkeypatch):
    ends = []
    monkeypatch.setattr("rnnscope.pipeline.loggers.Loggers.finish", lambda self, run, status, say: ends.append(status))
    kind = ["model.num_layers=2", "model.dropout=0.3", "schedule=constant"]
    with user_error(17, "RuntimeError: seventeen", "own_callbacks.py", "train.log", "rnnscope resume"):
        trained(story, *kind, "callback_classes=[own_callbacks.Fails]")
    (path,) = Path("outputs").glob("runs/*/*")
    run = Record.read(path / "run.json")
    assert run.values["status"] == "failed"
    assert ends == ["failed"]
    log = (path / "train.log").read_text()
    assert "Traceback" in log
    assert 'raise RuntimeError("seventeen")' in log
    plain = trained(story, *kind)
    resumed = resume_run(type(plain.run)(path))
    assert "the run was trained with callback_classes=[own_callbacks.Fails]" in (path / "train.log").read_text()
    assert resumed.weights_hash == plain.weights_hash
    assert rows(resumed) == rows(plain)


@pytest.mark.parametrize("name", ["Feeds", "FeedsBefore"])
def test_a_callback_that_raises_stop_iteration_ends_the_run(name, story, folder):
    """Lightning takes it for the end of the data, and would begin the next epoch for ever."""
    with user_error("StopIteration", "train.log", "rnnscope resume"):
        trained(story, f"callback_classes=[own_callbacks.{name}]")


def test_an_error_in_a_plug_in_is_one_line(story, folder):
    (folder / "own_optimizer.py").write_text(OPTIMIZER)
    try:
        with user_error(0, "ZeroDivisionError", "own_optimizer.py", "train.log", "rnnscope resume"):
            trained(story, "plugins=[own_optimizer]", "optimizer=own")
    finally:
        OPTIMIZERS.pop("own", None)  # later tests in this process look at all that are registered


def test_a_class_that_is_no_callback_is_refused_before_training(story, folder):
    with user_error("json.decoder.JSONDecoder", "pytorch_lightning.Callback"):
        trained(story, "callback_classes=[json.JSONDecoder]")
    assert not list(Path("outputs").glob("runs/*/*"))


def test_lightning_may_end_a_run(story, folder):
    stop = ["callbacks=[early_stopping]", "callbacks.early_stopping.monitor=gradient_norm/all"]
    patience = ["callbacks.early_stopping.mode=max", "callbacks.early_stopping.min_delta=1000", "trainer.max_steps=500"]
    result = trained(story, *stop, *patience, "callbacks.early_stopping.patience=2")
    assert (result.status, result.step) == ("finished", 30)  # the first validation, and two without an improvement
    assert result.metrics["val/loss"] > 0
    record = Record.read(result.run.record).values
    assert record["stopped_early"] is True
    assert "Lightning" in record["reason"]
    assert f"({record['reason']})" in result.run.log.read_text()
    again = trained(story, "callbacks=[timer]", "callbacks.timer.duration=00:00:00:01", "trainer.max_steps=100000")
    assert again.status == "finished"
    assert 0 < again.step < 100_000


def test_what_is_logged_where_no_logger_is_asked_for(story, folder):
    result = trained(story, "callbacks=[learning_rate_monitor]", "monitor.scalars_every=1")
    logged = [json.loads(line) for line in result.run.logged.read_text().splitlines()]
    losses = {row["step"]: row["train/loss"] for row in logged if "train/loss" in row}
    table = [line.split(",") for line in result.run.metrics.read_text().splitlines()]
    recorded = {int(row[0]): float(row[table[0].index("train/loss")]) for row in table[1:]}
    assert losses == pytest.approx(recorded, rel=1e-6)
    assert list(losses) == list(range(1, 31))
    assert [row["step"] for row in logged if "val/loss" in row] == [10, 20, 30]  # each once
    assert sum("update_size/all" in row for row in logged) == 6


def test_a_resumed_run_logs_each_step_once(story, folder):
    with user_error("seventeen"):
        trained(story, "callback_classes=[own_callbacks.Fails]", "monitor.scalars_every=1")
    (path,) = Path("outputs").glob("runs/*/*")
    extensions = compose_command([*TINY, "logger=csv", "callbacks=[learning_rate_monitor]"]).extensions
    ours = compose_command([*TINY, "callbacks=[learning_rate_monitor]"]).extensions
    from rnnscope.runs.folder import RunFolder

    resume_run(RunFolder(path), options=RunOptions(extensions=ours))
    steps = [json.loads(line)["step"] for line in (path / "logged.jsonl").read_text().splitlines() if "train/loss" in line]
    assert steps == list(range(1, 31))
    resume_run(RunFolder(path), {"trainer.max_steps": 40}, options=RunOptions(extensions=extensions))
    assert list(path.glob("csv_logger/from_step_31/metrics.csv"))


def test_a_callback_that_is_given_on_resuming_counts_all_steps(story, folder):
    rates, keys = {}, ["callbacks=[learning_rate_monitor]", "monitor.scalars_every=2"]
    extensions = compose_command([*TINY, *keys]).extensions
    for name, words in (("first", keys), ("later", keys[1:])):
        first = trained(story, *words, "trainer.max_steps=10")
        run = resume_run(first.run, {"trainer.max_steps": 20}, options=RunOptions(extensions=extensions)).run
        logged = [json.loads(line) for line in (run.path / "logged.jsonl").read_text().splitlines()]
        found = [(row["step"], rate) for row in logged for key, rate in row.items() if key.startswith("lr-")]
        rates[name] = [pair for pair in found if pair[0] >= 10]
    assert rates["later"] == rates["first"] != []


def test_what_a_run_records_of_code(story, folder, capsys):
    result = trained(story, "callback_classes=[own_callbacks.Noise]", "callbacks=[timer]")
    recorded = Record.read(result.run.record).values["segments"][0]["extensions"]
    digest = hashlib.sha256(Path("own_callbacks.py").read_bytes()).hexdigest()
    assert recorded["callback_classes"] == ["own_callbacks.Noise"]
    assert recorded["callbacks"] == ["pytorch_lightning.callbacks.Timer"]
    assert recorded["files"] == {"own_callbacks": digest}
    assert "callback" not in result.run.config.read_text()
    extensions = compose_command([*TINY, "callback_classes=[own_callbacks.Noise]", "callbacks=[timer]"]).extensions
    assert reproduce(result.run, extensions=extensions)[1].kind == "bit-identical"
    capsys.readouterr()
    _, verdict = reproduce(result.run)
    assert verdict.kind == "diverged"
    assert_says(line_with("callback_classes", capsys.readouterr().out), "own_callbacks.Noise")
    assert any("plugins" in line for line in verdict.lines)


def test_a_changed_file_is_noticed(story, folder):
    result = trained(story, "callback_classes=[own_callbacks.Count]")
    Path("own_callbacks.py").write_text(MODULE + "\n# changed\n")
    extensions = compose_command([*TINY, "callback_classes=[own_callbacks.Count]"]).extensions
    resume_run(result.run, {"trainer.max_steps": 40}, options=RunOptions(extensions=extensions))
    assert_says(line_with("SHA-256", result.run.log.read_text()), "own_callbacks")


def test_a_state_that_no_checkpoint_can_hold(story, folder):
    result = trained(story, "callback_classes=[own_callbacks.Strange]")
    assert_says(line_with("resuming starts it anew", result.run.log.read_text()), "Strange")
    assert "Strange" not in torch.load(result.run.checkpoints / "last.ckpt", weights_only=True)["lightning"]["callbacks"]


def test_a_state_that_cannot_be_had_is_refused_before_training(story, folder, outputs):
    with user_error("Stateless", "state_dict", "KeyError", "what"):
        trained(story, "callback_classes=[own_callbacks.Stateless]")
    assert not list(outputs.glob("runs/*/*"))


def test_names_in_a_run_folder_are_never_imported(story, folder):
    (folder / "trap.py").write_text("from pathlib import Path\nPath('sprung').touch()\n")
    result = trained(story)
    values = json.loads(result.run.record.read_text())
    trap = {"callbacks": ["trap.Trap"], "callback_classes": ["trap.Trap"], "plugins": ["trap"], "files": {"trap": "0" * 64}}
    values["segments"][0]["extensions"] = {**trap, "logger": ["trap.Trap"]}
    result.run.record.write_text(json.dumps(values))
    resumed = resume_run(result.run, {"trainer.max_steps": 40})
    assert_says(line_with("with plugins", resumed.run.log.read_text()), "trap")
    result.run.config.write_text(result.run.config.read_text() + "plugins: [trap]\ncallbacks: {a: {_target_: trap.Trap}}\n")
    with user_error("callbacks.a._target_"):
        recorded_config(result.run, Record.read(result.run.record))
    assert not Path("sprung").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["plugins=[nowhere]"], ["plugins=[nowhere]", "no module"]),
        (["plugins=[broken]"], ["broken", "ZeroDivisionError"]),
        (["plugins=[script]"], ["script", "SystemExit"]),
        (["callback_classes=[own_callbacks.Nobody]"], ["own_callbacks", "Nobody"]),
        (["callback_classes=[Count]"], ["module.Class"]),
        (["callbacks=[early_stopping]", "callbacks.early_stopping.mode=sideways"], ["early_stopping", "sideways"]),
    ],
)
def test_bad_names(words, parts, story, folder):
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "script.py").write_text("raise SystemExit\n")
    with user_error(*parts):
        trained(story, *words)
    assert not list(Path("outputs").glob("runs/*/*"))


def test_a_logger_without_its_package(story, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with user_error("logger=mlflow", "rnnscope[mlflow]"):
        trained(story, "logger=mlflow")


def test_the_private_name_of_lightnings_is_still_there():
    """`Extensions.validate` puts it back after validation in the middle of a batch, as Lightning's own loop does."""
    assert "_first_loop_iter" in vars(logger_connector._LoggerConnector(None))  # type: ignore[arg-type]


def test_nothing_is_asked_for_by_default():
    assert command_words(ExtensionsConfig()) == []
    assert not ExtensionsConfig(plugins=["a"]).in_lightning


def test_the_command_that_continues_has_the_settings_that_were_typed(story, folder, capsys):
    typed = ["callbacks=[timer]", "callbacks.timer.duration=00:01:00:00", "logger=csv"]
    trained(story, *typed)
    line = line_with("rnnscope resume", capsys.readouterr().out)
    words = [word for word in shlex.split(line) if word.startswith(("callbacks", "logger"))]
    assert sorted(words) == sorted([*typed[:2], "logger=[csv]"])
    assert compose_command([*TINY, *words]).extensions == compose_command([*TINY, *typed]).extensions


@pytest.mark.parametrize("asked", [[], ["callbacks.device_stats.cpu_stats=true"]])
def test_a_callback_without_its_package_is_refused_before_training(asked, story, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    with user_error("psutil", "pip install 'psutil'"):
        trained(story, "callbacks=[device_stats]", *asked)
    assert not list(Path("outputs").glob("runs/*/*"))
