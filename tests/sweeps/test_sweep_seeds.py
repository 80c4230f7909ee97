"""Sweeps over seeds: the grouped table at the end, a mean run for TensorBoard, and a search that goes by means."""

import csv
import statistics

import optuna
import pytest
from messages import assert_says, error_line, line_with
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sweep_tools import records, sweep
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

SHORT = ("trainer.max_steps=8", "trainer.val_every=4", "monitor.sample_length=0")


def test_the_table_and_the_mean_of_each_group(story, outputs, capsys):
    assert sweep(story, "name=s", "seed=1,2", "model=lstm,gru", *SHORT) == 0
    found = records(outputs / "sweeps/s")
    mean = statistics.fmean(found[f"model-gru_seed-{seed}"]["best"]["bits_per_character"] for seed in (1, 2))
    printed = capsys.readouterr().out
    line_with(printed[printed.index("groups of seeds") :], "gru", f"{mean:.4f}", 2)
    assert {path.name for path in (outputs / "sweeps/s/means").iterdir()} == {"cell-lstm", "cell-gru"}
    (events,) = (outputs / "sweeps/s/means/cell-gru").iterdir()
    values = [(event.step, value) for event in EventFileLoader(str(events)).Load() for value in event.summary.value]
    shown = {step: value.tensor.float_val[0] for step, value in values if value.tag == "val/loss"}
    losses = []
    for seed in (1, 2):
        with (outputs / f"sweeps/s/model-gru_seed-{seed}/metrics.csv").open() as file:
            losses.append({int(row["step"]): float(row["val/loss"]) for row in csv.DictReader(file) if row["val/loss"]})
    assert shown == {step: pytest.approx(statistics.fmean(loss[step] for loss in losses)) for step in (4, 8)}


def test_a_search_goes_by_the_mean_of_its_seeds(story, outputs, capsys):
    search = ("name=o", "hydra/sweeper=optuna", "hydra.sweeper.seeds=2", "optimizer.lr=tag(log,interval(1e-4,1e-1))")
    assert sweep(story, *search, "hydra.sweeper.n_trials=2", *SHORT) == 0
    line_with(capsys.readouterr().out, "sweep o", "4 jobs")
    more = [word.replace("seeds=2", "seeds=3") for word in search]
    assert sweep(story, *more, "hydra.sweeper.n_trials=3", *SHORT) == 1
    assert_says(error_line(capsys.readouterr().err), "the search o", "seed=1,2", "seed=1,2,3")
    jobs = records(outputs / "sweeps/o").values()
    assert sorted(job["config"]["seed"] for job in jobs) == [1, 1, 2, 2]
    study = optuna.load_study(
        study_name=None, storage=JournalStorage(JournalFileBackend(str(outputs / "sweeps/o/study.journal")))
    )
    for trial in study.get_trials():
        losses = [job["best"]["loss"] for job in jobs if job["config"]["optimizer.lr"] == trial.params["optimizer.lr"]]
        assert trial.value == pytest.approx(statistics.fmean(losses))
        assert len(losses) == 2
    capsys.readouterr()
    assert sweep(story, *search, "hydra.sweeper.pruner=median") == 1
    assert_says(error_line(capsys.readouterr().err), "hydra.sweeper.pruner=median", "hydra.sweeper.seeds=2")
    assert sweep(story, *search[:-1], "optimizer.lr=choice(0.1,0.2)", "seed=3") == 1
    assert_says(error_line(capsys.readouterr().err), "seed=3")
