"""A grid of tiny runs: what it leaves, what it skips, resumes and does again, and what it says of jobs that fail."""

import signal

import pytest
from conftest import TINY
from messages import assert_says, error_line, line_with
from sweep_tools import JOBS, NAMES, contents, folder_of, manifest, records, statuses, sweep, weights

from rnnscope.cli import main


def error(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line of an error, without its prefix."""
    return error_line(capsys.readouterr().err)


def test_a_grid_leaves_a_run_folder_for_each_job_and_says_what_was_swept(story, outputs, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert sweep(story, *JOBS) == 0
    folder = folder_of(outputs)
    assert folder.name == "model_lr"
    assert sorted(path.name for path in folder.iterdir()) == [".jobs", *NAMES, "sweep.yaml"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outputs"]  # Hydra left nothing of its own
    for name, found in records(folder).items():
        assert found["status"] == "finished"
        assert found["name"] == "model_lr"
        assert found["config"]["model.cell"] == name[6 : name.index("_")]
        assert found["command"][1:3] == ["train", "dataset=text_files"]
        assert {"config.yaml", "metrics.csv", "model.safetensors", "train.log"} <= {
            path.name for path in (folder / name).iterdir()
        }
    said = capsys.readouterr().out
    assert "model_lr: 4 jobs" in said
    rows = [line.removeprefix("*").split() for line in said[said.index("  run  ") :].splitlines()[1:5]]
    assert sorted(row[0] for row in rows) == NAMES
    bits = [float(row[1]) for row in rows]
    assert bits == sorted(bits)
    assert f"rnnscope sample run=model_lr/{rows[0][0]}" in said
    assert main(["sample", f"run=model_lr/{NAMES[0]}", "length=5", "seed=1"]) == 0
    found = manifest(folder)
    assert (found["name"], found["kind"]) == ("model_lr", "grid")
    assert found["swept"] == {"model": "lstm,gru", "optimizer.lr": "1e-3,3e-3"}
    assert found["fixed"]["trainer.max_steps"] == 30
    assert found["fixed"]["model.hidden_size"] == 16  # typed, though model= is swept
    assert not {"model.cell", "optimizer.lr"} & found["fixed"].keys()
    assert sorted(found["jobs"]) == NAMES
    job = found["jobs"]["model-gru_lr-0.003"]
    assert job["overrides"] == ["model=gru", "optimizer.lr=0.003"]
    assert job["best_loss"] == records(folder)["model-gru_lr-0.003"]["best"]["loss"]


def test_started_again_it_does_nothing_twice_and_adds_what_is_new(story, outputs, capsys):
    assert sweep(story, "model=lstm", "optimizer.lr=1e-3,3e-3", "name=rates") == 0
    folder = folder_of(outputs)
    before = {path: contents(path) for path in folder.glob("lr-*")}
    capsys.readouterr()
    assert sweep(story, "optimizer.lr=0.001,0.003", "model=lstm", "name=rates") == 0
    line_with(capsys.readouterr().out, "2 finished")
    assert sweep(story, "model=lstm", "optimizer.lr=3e-3,1e-2", "name=rates") == 0
    assert {path: contents(path) for path in before} == before
    assert statuses(folder) == dict.fromkeys(["lr-0.001", "lr-0.003", "lr-0.01"], "finished")
    said = capsys.readouterr().out
    assert all(name in said for name in statuses(folder))  # the table has all of the sweep
    assert main(["sample", "run=rates/lr-0.01", "length=5"]) == 0


def test_the_name_is_the_users_else_the_experiments_else_made_of_the_keys(story, outputs, shared_data, monkeypatch):
    monkeypatch.setenv("RNNSCOPE_DATA", str(shared_data))
    short = ["trainer.max_steps=2", "seed=1,2"]
    assert sweep(story, *short) == 0
    assert sweep(story, *short, "name=my sweep") == 0
    assert sweep(story, *short, "experiment=tiny_shakespeare_quick", "dataset=text_files") == 0
    assert sorted(path.name for path in (outputs / "sweeps").iterdir()) == ["my sweep", "seed", "tiny_shakespeare_quick"]


def test_a_job_that_fails_or_diverges_is_recorded_and_the_rest_go_on(story, outputs, capsys):
    words = ["optimizer=sgd", "optimizer.lr=0.1,1e38", "trainer.clip_norm=null", "dataset.batch_size=4,4000", "name=some"]
    assert sweep(story, *words) == 1
    folder = folder_of(outputs)
    found = statuses(folder)
    assert found == {
        "batch_size-4_lr-0.1": "finished",
        "batch_size-4_lr-1e38": "diverged",
        "batch_size-4000_lr-0.1": "failed",
        "batch_size-4000_lr-1e38": "failed",
    }
    jobs = manifest(folder)["jobs"]
    assert_says(jobs["batch_size-4000_lr-0.1"]["reason"], "dataset.batch_size", 4000)
    assert_says(jobs["batch_size-4_lr-1e38"]["reason"], "inf")
    assert not (folder / "batch_size-4000_lr-0.1").exists()
    said = capsys.readouterr()
    names = [name for name, status in found.items() if status != "finished"]
    assert_says(error_line(said.err), "3 of 4 jobs", *names, "hydra.sweeper.retry_failed=true")
    assert_says(line_with(said.out[said.out.index("  run  ") :], "batch_size-4000_lr-0.1", "failed"), "dataset.batch_size")
    before = contents(folder / "batch_size-4_lr-1e38")
    assert sweep(story, *words) == 1  # not tried again unless asked
    assert contents(folder / "batch_size-4_lr-1e38") == before
    assert sweep(story, *words, "hydra.sweeper.retry_failed=true") == 1
    aside = folder / "batch_size-4_lr-1e38.diverged-1"
    assert {path.rpartition("/")[2]: found for path, found in contents(aside).items()} == {
        path.rpartition("/")[2]: found for path, found in before.items()
    }
    assert statuses(folder) == found


def test_a_defect_leaves_its_traceback(story, outputs, monkeypatch, capsys):
    from rnnscope.monitor.sample_writer import SampleWriter

    def broken(self, task):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(SampleWriter, "after_step", broken)
    assert sweep(story, "seed=1,2") == 1
    folder = folder_of(outputs)
    assert statuses(folder) == {"seed-1": "failed", "seed-2": "failed"}
    log = (folder / "seed-1" / "train.log").read_text()
    assert "ZeroDivisionError: a defect" in log
    assert "Traceback (most recent call last)" in log
    monkeypatch.undo()
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(outputs))
    assert sweep(story, "seed=1,2", "hydra.sweeper.retry_failed=true") == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        ".jobs",
        "means",
        *("seed-1", "seed-1.failed-1", "seed-2", "seed-2.failed-1"),
        "sweep.yaml",
    ]


def test_where_no_job_can_begin_nothing_is_left(story, outputs, capsys, tmp_path):
    assert sweep(tmp_path / "none.txt", *JOBS) == 1
    assert_says(error(capsys), "job", "text", tmp_path / "none.txt")
    assert list((outputs / "sweeps").iterdir()) == []


def test_an_interrupted_job_goes_on_exactly_and_no_other_begins(story, outputs, monkeypatch, capsys):
    from rnnscope.monitor.budget import Budget

    jobs = "model=lstm,gru"
    assert sweep(story, jobs, "name=whole") == 0
    whole = weights(outputs / "sweeps/whole")
    looked = Budget.after_step

    def interrupted(self, task):
        looked(self, task)
        if task.step == 17:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Budget, "after_step", interrupted)
    capsys.readouterr()
    for count in (1, 2):  # each go ends in the step 17 of another job
        assert sweep(story, jobs, "name=broken") == 130
        broken = outputs / "sweeps/broken"
        assert len(records(broken)) == count
        assert sorted(statuses(broken).values()) == sorted(
            ["finished"] * (count - 1) + ["interrupted"] + ["waiting"] * (2 - count)
        )
    assert_says(capsys.readouterr().out.splitlines()[-1], "command")
    monkeypatch.undo()
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(outputs))
    assert sweep(story, jobs, "name=broken") == 0
    assert weights(broken) == whole


def test_other_fixed_settings_are_another_sweep(story, outputs, capsys):
    assert sweep(story, "seed=1,2", "name=x") == 0
    capsys.readouterr()
    before = contents(outputs / "sweeps")
    for words, parts in (
        (["seed=3,4", "trainer.max_steps=31"], ["trainer.max_steps", 30, 31]),
        (["seed=1,2", "trainer.max_steps=31,32"], ["trainer.max_steps", 30, "swept"]),
        (["seed=1,2", "optimizer=adam"], ["optimizer.name", "adamw", "adam", "optimizer.lr", 0.004, 0.002]),
        (["optimizer.lr=1e-3,1e-2"], ["optimizer.lr", 0.004, "swept", "seed", "swept", 1]),
    ):
        assert sweep(story, *words, "name=x") == 1
        assert_says(error(capsys), "sweep", "x", *parts, "name=...")
    assert contents(outputs / "sweeps") == before


def test_changed_steps_of_a_map_and_added_callbacks_are_another_sweep(story, outputs, capsys):
    rates = ["name=r", "schedule=step_map", "seed=1,2"]
    assert sweep(story, *rates, "schedule.rates={0: 0.1}") == 0
    for words, parts in (
        (["schedule.rates={0: 0.1, 3: 0.9}"], ["schedule.rates"]),
        (["schedule.rates={0: 0.1}", "callbacks=[timer]"], ["callbacks.timer.interval", "not set"]),
    ):
        capsys.readouterr()
        assert sweep(story, *rates[:2], "seed=1,2,3", *words) == 1
        assert_says(error(capsys), "the sweep r exists with different settings", *parts)
    assert sweep(story, *rates[:2], "seed=1,2,3", "schedule.rates={0: 0.1}", "notify=true") == 0
    assert "notify" not in manifest(outputs / "sweeps/r")["fixed"]
    assert len(statuses(outputs / "sweeps/r")) == 3


def test_a_sweep_of_an_older_version_goes_on_by_its_rules_for_reading(story, outputs):
    older = "dataset.corpus.reader_version=4"
    assert sweep(story, "name=old", "seed=1,2", older) == 0
    assert sweep(story, "name=old", "seed=1,2,3") == 0
    versions = {job["config"][older.partition("=")[0]] for job in records(outputs / "sweeps/old").values()}
    assert (versions, len(statuses(outputs / "sweeps/old"))) == ({4}, 3)


def test_what_follows_from_a_swept_key_is_not_fixed(outputs, capsys):
    words = ["train", "-m", "dataset=copy_at_lag", "dataset.corpus.copies=300", *TINY[:-1], "name=lag", "trainer.max_steps=2"]
    words = [word for word in words if not word.startswith("dataset.sequence_length")]
    for lags in ("5,10", "3,5,10"):
        assert main([*words, f"dataset.corpus.copy_lag={lags}"]) == 0, capsys.readouterr().err
    assert sorted(statuses(outputs / "sweeps/lag")) == ["copy_lag-10", "copy_lag-3", "copy_lag-5"]


def test_a_job_that_sets_nothing_is_what_the_others_are_compared_with(story, outputs):
    assert sweep(story, "name=e", "hydra.sweeper.jobs=[[],['model.dropout=0.2']]", "model.num_layers=2") == 0
    assert sorted(statuses(outputs / "sweeps/e")) == ["base", "dropout-0.2"]


def test_a_sweep_over_experiments_is_not_named_after_one_of_them(story, outputs):
    assert sweep(story, "experiment=tiny_shakespeare_quick,names", "dataset=text_files", "trainer.max_steps=2") == 0
    assert folder_of(outputs).name == "experiment"


def test_a_folder_that_is_another_job_is_refused(story, outputs, capsys):
    assert sweep(story, "model=lstm,gru", "name=x") == 0
    path = folder_of(outputs) / "model-gru" / "run.json"
    path.write_text(path.read_text().replace('"model.forget_bias": 0.0', '"model.forget_bias": 0.5'))
    capsys.readouterr()
    assert sweep(story, "model=lstm,gru", "name=x") == 1
    assert_says(error(capsys), "model-gru", "model.forget_bias", 0.5, "0.0", "name=...")


def test_a_start_that_was_killed_before_run_json_is_begun_anew(story, outputs, capsys):
    assert sweep(story, "seed=1,2") == 0
    job = folder_of(outputs) / "seed-2"
    whole = weights(folder_of(outputs))
    for path in job.rglob("*"):
        if path.is_file() and path.name not in ("config.yaml", "vocabulary.json"):
            path.unlink()
    (job / "checkpoints").rmdir()
    assert sweep(story, "seed=1,2") == 0
    assert weights(folder_of(outputs)) == whole
    capsys.readouterr()
    (job / "run.json").unlink()
    assert sweep(story, "seed=1,2") == 1  # it holds a training: not ours to remove
    assert_says(error(capsys), job, "run.json")
    assert (job / "checkpoints").is_dir()


def test_the_same_value_twice_is_one_job(story, outputs):
    assert sweep(story, "optimizer.lr=1e-3,0.001,0.002") == 0
    assert sorted(records(folder_of(outputs))) == ["lr-0.001", "lr-0.002"]


def test_jobs_that_change_several_keys_together(story, outputs):
    jobs = 'hydra.sweeper.jobs=[["model=gru","model.num_layers=2"],["model=rnn"]]'
    assert sweep(story, jobs, "optimizer.lr=1e-3,2e-3") == 0
    folder = folder_of(outputs)
    assert folder.name == "model_num_layers_lr"
    assert sorted(records(folder)) == [
        *("model-gru_num_layers-2_lr-0.001", "model-gru_num_layers-2_lr-0.002"),
        *("model-rnn_lr-0.001", "model-rnn_lr-0.002"),
    ]


def test_a_sweep_from_a_run_takes_the_run_of_its_beginning(story, outputs, tiny_run):
    parent = f"init_from={tiny_run.run.path}"
    words = ["dataset.split.train=0.8", "dataset.split.val=0.1", "dataset.split.test=0.1", "optimizer.lr=1e-3,2e-3", "name=x"]
    assert sweep(story, parent, *words) == 0
    found = records(folder_of(outputs))
    assert {values["parent"]["weights_sha256"] for values in found.values()} == {tiny_run.weights_hash}
    assert sweep(story, parent, *words) == 0
    assert manifest(folder_of(outputs))["fixed"]["init_from"] == str(tiny_run.run.path.resolve())


def test_the_newest_run_is_that_of_the_first_start(story, outputs):
    assert main(["train", f"text={story}", *TINY, "name=base"]) == 0
    (base,) = (outputs / "runs/base").iterdir()
    for seeds in ("1,2", "1,2,3"):
        assert sweep(story, "name=warm", "init_from=latest", f"seed={seeds}") == 0
    search = ["hydra/sweeper=optuna", "optimizer.lr=choice(0.1,0.2)", "hydra.sweeper.at_once=1"]
    for trials in (2, 3):
        assert sweep(story, "name=find", "init_from=base", *search, f"hydra.sweeper.n_trials={trials}") == 0
    jobs = [*records(outputs / "sweeps/warm").values(), *records(outputs / "sweeps/find").values()]
    assert {job["config"]["init_from"] for job in jobs} == {str(base)}
    assert sweep(story, "name=z", "init_from=latest", *search, "hydra.sweeper.n_trials=2") == 0
    assert len({job["config"]["init_from"] for job in records(outputs / "sweeps/z").values()}) == 1


def test_paths_with_the_marks_of_interpolation_are_taken_as_they_are(story, tiny_run, tmp_path, monkeypatch):
    folder = tmp_path / r"\${seed} ${seed} 'a\\'"
    (parent := folder / "parent").mkdir(parents=True)
    for name in ("config.yaml", "run.json", "vocabulary.json", "model.safetensors"):
        (parent / name).write_bytes((tiny_run.run.path / name).read_bytes())
    (text := folder / r"\${seed}.txt").write_bytes(story.read_bytes())
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(folder))
    split = [f"dataset.split.{part}" for part in ("train=0.8", "val=0.1", "test=0.1")]
    assert sweep(text, f"init_from={parent}", *split, "seed=1,2") == 0
    found = records(folder_of(folder))
    assert sorted(found) == ["seed-1", "seed-2"]
    for values in found.values():
        assert values["config"]["dataset.corpus.path"] == str(text)
        assert values["config"]["init_from"] == str(parent)
        assert values["parent"]["weights_sha256"] == tiny_run.weights_hash


def test_a_sweep_means_its_text_by_place(story, outputs, tmp_path, monkeypatch, capsys):
    """From another folder the same name is another text; a sweep that recorded the name alone goes on where it was."""
    for folder, more in (("here", ""), ("there", "More of it. ")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "s.txt").write_text(story.read_text(encoding="utf-8") + more, encoding="utf-8")
    words = ["train", "-m", "text=s.txt", *TINY, "trainer.max_steps=2", "seed=1,2"]
    monkeypatch.chdir(tmp_path / "here")
    assert main(words) == 0
    sweep_file = folder_of(outputs) / "sweep.yaml"
    assert manifest(folder_of(outputs))["fixed"]["dataset.corpus.path"] == str(tmp_path / "here" / "s.txt")
    monkeypatch.chdir(tmp_path / "there")
    capsys.readouterr()
    assert main(words) == 1
    assert_says(error(capsys), tmp_path / "here" / "s.txt", tmp_path / "there" / "s.txt", "name=...")
    monkeypatch.chdir(tmp_path / "here")
    absolute = sweep_file.read_text(encoding="utf-8")
    sweep_file.write_text(absolute.replace(str(tmp_path / "here" / "s.txt"), "s.txt"), encoding="utf-8")
    assert main(words) == 0
