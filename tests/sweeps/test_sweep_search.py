"""Sweeps in which Optuna chooses: trials up to a number, also after a stop; bad values; unpromising ones ended early."""

import signal
import threading
import time

import optuna
import pytest
from messages import assert_says, error_line
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sweep_tools import manifest, record, records, statuses, sweep, weights

SEARCH = ("hydra/sweeper=optuna", "optimizer.lr=tag(log,interval(1e-4,1e-1))", "model.hidden_size=choice(8,16)", "name=s")


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def study_of(folder) -> optuna.Study:
    backend = JournalFileBackend(str(folder / "study.journal"))
    return optuna.load_study(study_name=None, storage=JournalStorage(backend))


def test_it_does_the_trials_that_are_missing_and_repeats_none(story, outputs):
    assert sweep(story, *SEARCH, "hydra.sweeper.n_trials=3") == 0
    folder = outputs / "sweeps/s"
    first = weights(folder)
    assert len(first) == 3
    assert sweep(story, *SEARCH, "hydra.sweeper.n_trials=3") == 0  # nothing is missing
    assert weights(folder) == first
    assert sweep(story, *SEARCH, "hydra.sweeper.n_trials=5") == 0
    assert len(weights(folder)) == 5
    assert weights(folder).items() >= first.items()
    trials = study_of(folder).get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 5
    assert sorted(trial.value for trial in trials) == sorted(values["best"]["loss"] for values in records(folder).values())
    drawn = {(values["config"]["optimizer.lr"], values["config"]["model.hidden_size"]) for values in records(folder).values()}
    assert drawn == {(trial.params["optimizer.lr"], int(trial.params["model.hidden_size"])) for trial in trials}


def test_whole_numbers_are_drawn_for_a_key_that_takes_them(story, outputs):
    space = (
        "dataset.batch_size=interval(2,8)",
        "model.hidden_size=tag(log,int(interval(4,16)))",
        "optimizer.lr=interval(1e-4,1)",
    )
    assert sweep(story, "hydra/sweeper=optuna", *space, "name=s", "hydra.sweeper.n_trials=3") == 0
    configs = [values["config"] for values in records(outputs / "sweeps/s").values()]
    assert all(isinstance(config[key], int) for config in configs for key in ("dataset.batch_size", "model.hidden_size"))
    assert len({config["dataset.batch_size"] for config in configs}) > 1
    assert all(0 < config["optimizer.lr"] < 1 for config in configs)


@pytest.mark.parametrize("tail", [b'{"op_code": 5, "wor', bytes(40)], ids=["half a line", "zeros"])
def test_a_torn_line_of_the_journal_is_cut(story, outputs, tail):
    """A killed process leaves half a line, a power cut zeros."""
    assert sweep(story, *SEARCH, "hydra.sweeper.n_trials=1") == 0
    journal = outputs / "sweeps/s/study.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + tail)
    assert sweep(story, *SEARCH, "hydra.sweeper.n_trials=2") == 0
    assert journal.read_bytes().startswith(whole)
    assert len(study_of(outputs / "sweeps/s").get_trials()) == 2


def test_a_damaged_line_of_the_journal_is_named(story, outputs, capsys):
    assert sweep(story, *SEARCH, "hydra.sweeper.n_trials=1") == 0
    journal = outputs / "sweeps/s/study.journal"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([lines[0], lines[1][:-5], *lines[2:], ""]))
    assert sweep(story, *SEARCH, "hydra.sweeper.n_trials=2") == 1
    assert_says(error_line(capsys.readouterr().err), journal, "line 2", "remove")


def test_a_search_is_the_same_again(story, outputs):
    for name in ("a", "b"):
        assert sweep(story, *SEARCH[:3], f"name={name}", "hydra.sweeper.n_trials=3") == 0
    assert weights(outputs / "sweeps/a") == weights(outputs / "sweeps/b")


def test_the_manifest_has_one_writer_at_a_time(story, outputs, monkeypatch):
    """The thread that prints writes it too, beside the one that begins trials: both would fill the same temporary file."""
    from rnnscope.sweeps.manifest import Manifest

    writing, write, beside, threads = threading.Lock(), Manifest.write, [], set()

    def slow(self):
        threads.add(threading.get_ident())
        if not writing.acquire(blocking=False):
            beside.append(threading.get_ident())
            return
        time.sleep(0.3)
        write(self)
        writing.release()

    monkeypatch.setattr(Manifest, "write", slow)
    monkeypatch.setattr("rnnscope.sweeps.live_status.EVERY", 0.001)
    assert sweep(story, *SEARCH, "hydra.sweeper.n_trials=4", "trainer.max_steps=3") == 0
    assert len(threads) == 2
    assert beside == []


def test_a_diverged_trial_is_a_bad_value_and_not_the_end(story, outputs):
    words = ("hydra/sweeper=optuna", "optimizer=sgd", "optimizer.lr=choice(1e-2,1e38)", "trainer.clip_norm=null", "name=s")
    assert sweep(story, *words, "hydra.sweeper.n_trials=4", "hydra.sweeper.sampler=random") == 1
    folder = outputs / "sweeps/s"
    found = {values["config"]["optimizer.lr"]: values["status"] for values in records(folder).values()}
    assert found == {0.01: "finished", 1e38: "diverged"}
    states = {float(trial.params["optimizer.lr"]): trial for trial in study_of(folder).get_trials()}
    assert states[0.01].state.name == states[1e38].state.name == "COMPLETE"
    assert states[1e38].value == 100.0 > states[0.01].value


def test_a_trial_whose_process_died_goes_on(story, outputs, monkeypatch):
    from rnnscope.monitor.throughput import Throughput

    looked = Throughput.after_step

    def killed(self, task):
        looked(self, task)
        if task.step == 14:
            signal.raise_signal(signal.SIGTERM)

    assert sweep(story, *SEARCH, "hydra.sweeper.n_trials=1") == 0
    monkeypatch.setattr(Throughput, "after_step", killed)
    assert sweep(story, *SEARCH, "hydra.sweeper.n_trials=3") == 130
    folder = outputs / "sweeps/s"
    assert sorted(statuses(folder).values()) == ["finished", "interrupted"]
    monkeypatch.setattr(Throughput, "after_step", looked)
    assert sweep(story, *SEARCH, "hydra.sweeper.n_trials=3") == 0
    assert [trial.state.name for trial in study_of(folder).get_trials()].count("COMPLETE") == 3
    assert len(records(folder)) == 3
    assert sorted(len(values["segments"]) for values in records(folder).values()) == [1, 1, 2]


def test_unpromising_trials_end_early_when_asked(story, outputs):
    rates = "optimizer.lr=choice(1e-2,1e-6,1e-7,1e-8,1e-9,1e-10)"
    words = ("hydra/sweeper=optuna", rates, "trainer.val_every=5", "schedule=constant", "name=s")
    assert sweep(story, *words, "hydra.sweeper.n_trials=12", "hydra.sweeper.pruner=median") == 0
    folder = outputs / "sweeps/s"
    pruned = [trial for trial in study_of(folder).get_trials() if trial.state.name == "PRUNED"]
    assert pruned
    early = [values for values in records(folder).values() if values["progress"]["step"] < 30]
    assert early
    assert all(values["status"] == "finished" and values["reason"] for values in early)


def test_the_manifest_keeps_the_search_space(story, outputs):
    assert sweep(story, *SEARCH, "hydra.sweeper.n_trials=1") == 0
    found = manifest(outputs / "sweeps/s")
    assert found["kind"] == "optuna"
    assert found["swept"] == {"optimizer.lr": "tag(log,interval(1e-4,1e-1))", "model.hidden_size": "choice(8,16)"}
    assert record(next((outputs / "sweeps/s").glob("*/run.json")).parent)["status"] == "finished"


def test_a_study_that_was_kept_in_sqlite_is_carried_over(story, outputs):
    assert sweep(story, *SEARCH, "hydra.sweeper.n_trials=2") == 0
    folder = outputs / "sweeps/s"
    first, sqlite = weights(folder), f"sqlite:///{folder / 'study.db'}"
    journal = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    optuna.copy_study(from_study_name="s", from_storage=journal, to_storage=sqlite)
    old = optuna.load_study(study_name="s", storage=sqlite)
    old.ask(old.trials[0].distributions)  # begun, and its process died
    (folder / "study.journal").unlink()
    (folder / "study.journal.copying").write_text('{"op_code": 0, "study')  # a process died while it carried it over
    assert sweep(story, *SEARCH, "hydra.sweeper.n_trials=3") == 0
    assert len(weights(folder)) == 3
    assert weights(folder).items() >= first.items()
    new = study_of(folder).get_trials()
    assert [trial.params for trial in new] == [trial.params for trial in old.trials]
    assert [(trial.value, trial.user_attrs) for trial in new[:2]] == [
        (trial.value, trial.user_attrs) for trial in old.trials[:2]
    ]
    assert sorted(path.name for path in folder.glob("study.*")) == ["study.db", "study.journal"]
