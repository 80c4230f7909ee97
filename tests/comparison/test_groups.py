"""`compare group=seed`: means, intervals and the test between two groups, against hand computation and plain Python."""

import csv
import io
import itertools
import json
import statistics
from pathlib import Path

import pytest
from messages import assert_says, error_line, line_with
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from test_compare import put_run, with_result

from rnnscope.cli import main
from rnnscope.comparison.collection import read_runs
from rnnscope.comparison.curves import mean_curves
from rnnscope.comparison.groups import group_of, interval, make_groups, permutation_test
from rnnscope.comparison.run_summary import Summary
from rnnscope.runs.folder import RunFolder
from rnnscope.sweeps.means import write_means

LSTM, GRU = [2.0, 2.1, 2.2, 2.3], [2.25, 2.4, 2.5, 2.6]


@pytest.fixture
def seeds(trained_run, outputs):
    """Four seeds of two cells; the forget bias follows the cell."""
    for cell, bias, results in (("lstm", 1.0, LSTM), ("gru", 0.0, GRU)):
        for seed, bits in enumerate(results, 1):
            changes = with_result(
                bits, **{"model.cell": cell, "model.forget_bias": bias, "seed": seed, "monitor.lines_every": seed}
            )
            put_run(trained_run.path, outputs / "sweeps" / "s" / f"{cell}-{seed}", **changes)
    return outputs


def said(capsys, *words: str) -> str:
    capsys.readouterr()
    assert main(["compare", *words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_an_interval_is_that_of_all_resamples():
    values = [1.0, 2.0, 4.0, 8.0]
    means = sorted(statistics.fmean(draw) for draw in itertools.product(values, repeat=4))
    low, high = interval(values)
    assert low == pytest.approx(means[round(0.025 * len(means))], abs=0.26)  # one step of so few values
    assert high == pytest.approx(means[round(0.975 * len(means))], abs=0.26)
    assert interval(values) == (low, high)
    assert interval([3.0]) == (3.0, 3.0)


def test_a_permutation_test_counts_all_deals():
    assert permutation_test([1, 2, 3], [4, 5, 6]) == (2 / 20, 20)
    both, gap = [*LSTM, *GRU], statistics.fmean(GRU) - statistics.fmean(LSTM)
    deals = [(set(one), set(range(8)) - set(one)) for one in itertools.combinations(range(8), 4)]
    gaps = [abs(statistics.fmean(both[k] for k in one) - statistics.fmean(both[k] for k in rest)) for one, rest in deals]
    assert permutation_test(LSTM, GRU) == (sum(found >= gap - 1e-9 for found in gaps) / 70, 70)
    chance, deals = permutation_test([float(k % 5) for k in range(20)], [float(k % 7) + 4 for k in range(20)])  # sampled
    assert (chance < 0.001, deals > 10_000) == (True, True)


def test_a_line_for_each_group(seeds, capsys):
    rows = json.loads(said(capsys, "group=seed", "json=true"))
    assert [row["model.cell"] for row in rows] == ["lstm", "gru"]
    assert "model.forget_bias" not in rows[0]
    for row, results in zip(rows, (LSTM, GRU), strict=True):
        assert row["mean"] == pytest.approx(statistics.fmean(results))
        assert row["standard_deviation"] == pytest.approx(statistics.stdev(results))
        assert (row["runs"], row["best"], row["worst"]) == (4, min(results), max(results))
        assert row["best"] <= row["low"] < row["mean"] < row["high"] <= row["worst"]
    lines = said(capsys, "group=seed")
    assert_says(lines.splitlines()[0], "2 groups", "8 runs", "seed")
    assert line_with(lines, "lstm", "2.1500", "0.1291", 4).startswith("*")
    assert line_with(lines, "gru", "2.4375", 4).startswith(" ")  # its interval lies above
    line_with(lines, "lstm", "0.2875 bits per character below", "gru")
    line_with(lines, "70 ways", "p = 0.057", "chance alone may")
    (first, *_) = csv.DictReader(io.StringIO(said(capsys, "group=seed", "format=csv", "sort=-mean")))
    assert first["model.cell"] == "gru"
    lines = said(capsys, "group=seed", "sort=-mean")
    assert line_with(lines, "lstm", "2.1500", "0.1291", 4).startswith("*")  # whatever the order
    line_with(lines, "lstm", "0.2875 bits per character below", "gru")


def test_the_launchers_threads_make_no_group_and_the_separator_of_documents_does(trained_run, outputs, capsys):
    for seed, (threads, separator, bits) in enumerate([(1, ";", 2.0), (None, ";", 2.2), (1, ",", 3.0), (None, ",", 3.2)]):
        keys = {
            "trainer.threads": threads,
            "dataset.corpus.separator": separator,
            "seed": seed % 2,
            "monitor.lines_every": seed,
        }
        moved = {"dataset.corpus.path": f"/somewhere/{seed}.txt"}
        put_run(trained_run.path, outputs / "sweeps" / "s" / str(seed), **with_result(bits, **keys, **moved))
    rows = json.loads(said(capsys, "group=seed", "json=true"))
    assert [(row["dataset.corpus.separator"], row["mean"], row["runs"]) for row in rows] == [
        (";", pytest.approx(2.1), 2),
        (",", pytest.approx(3.1), 2),
    ]


def test_runs_of_different_training_texts_are_no_group(trained_run, outputs, capsys):
    for at, (files, bits) in enumerate([("a", 2.0), ("a", 2.2), ("b", 3.0), ("b", 3.2)]):
        keys = {"seed": at % 2, "dataset.corpus.path": f"/{files}.txt"}
        path = put_run(trained_run.path, outputs / "sweeps" / "s" / str(at), **with_result(bits, **keys))
        record = json.loads((path / "run.json").read_text())
        record["data"]["fingerprint"]["text"] = files
        (path / "run.json").write_text(json.dumps(record))
    rows = json.loads(said(capsys, "group=seed", "json=true"))
    assert [(row["runs"], row["dataset.corpus.path"]) for row in rows] == [(2, "/a.txt"), (2, "/b.txt")]


def test_the_best_of_those_shown_and_columns_of_groups(seeds, capsys):
    head, *_ = said(capsys, "group=seed", "sort=-mean", "limit=1").splitlines()
    assert_says(head, "1 of 2 groups", "lowest of those shown")
    assert_says(said(capsys, "sort=-bits_per_character", "limit=2").splitlines()[0], "2 of 8 runs", "best of those shown")
    assert main(["compare", "group=seed", "format=csv", "columns=mean,val/loss"]) == 1
    assert_says(error_line(capsys.readouterr().err), "columns=mean,val/loss", "val/loss", "standard_deviation")


def test_an_interval_does_not_depend_on_the_order_of_runs():
    summaries = [Summary(RunFolder(Path(str(bits))), {"status": "finished", "bits_per_character": bits}, {}) for bits in LSTM]
    found = [group_of(list(order), [], "") for order in itertools.permutations(summaries)]
    assert len({(group.low, group.high) for group in found}) == 1


def test_the_mean_curve_is_of_the_runs_that_count(seeds, trained_run):
    changes = with_result(9.0, **{"model.cell": "gru", "model.forget_bias": 0.0, "seed": 5}) | {"status": "diverged"}
    short = put_run(trained_run.path, seeds / "sweeps" / "s" / "gru-5", **changes)
    lines = (short / "metrics.csv").read_text().splitlines(keepends=True)
    (short / "metrics.csv").write_text("".join(lines[:2]))
    groups, _ = make_groups(read_runs(seeds / "sweeps").runs, "seed")
    assert [(len(group.runs), len(group.counting)) for group in groups] == [(4, 4), (5, 4)]
    write_means(seeds / "sweeps" / "s", groups, ["model.cell"])
    last = {}
    for name in ("lstm", "gru"):
        (events,) = (seeds / "sweeps/s/means" / f"cell-{name}").iterdir()
        last[name] = max(event.step for event in EventFileLoader(str(events)).Load())
    assert last["gru"] == last["lstm"] > 0


def test_what_diverged_does_not_count_and_near_groups_are_marked(seeds, trained_run, capsys):
    for seed, status in ((1, "finished"), (2, "diverged")):
        changes = with_result(2.2, **{"model.cell": "rnn", "model.forget_bias": 0.0, "seed": seed})
        put_run(trained_run.path, seeds / "sweeps" / "s" / f"rnn-{seed}", status=status, **changes)
    lines = said(capsys, "group=seed")
    assert line_with(lines, "rnn", "1 of 2").startswith("~")
    assert "below" not in lines  # three groups: no pair


def test_only_runs_alike_in_all_else_are_a_group(seeds, trained_run, capsys):
    put_run(trained_run.path, seeds / "sweeps" / "s" / "other", **with_result(2.0, **{"optimizer.lr": 0.5, "seed": 9}))
    assert len(json.loads(said(capsys, "group=seed", "json=true"))) == 3
    rows = json.loads(said(capsys, "group=model.cell", "json=true", "filter=lr!=0.5"))
    assert [(row["seed"], row["runs"]) for row in rows] == [(1, 2), (2, 2), (3, 2), (4, 2)]


@pytest.mark.parametrize(("word", "parts"), [("group=sed", ["sed", "seed"]), ("group=status", ["status", "group=seed"])])
def test_mistakes(seeds, capsys, word, parts):
    assert main(["compare", word]) == 1
    assert_says(error_line(capsys.readouterr().err), *word.split("=", 1), *parts)


def test_a_mean_curve_has_the_steps_that_all_runs_have(tmp_path):
    (tmp_path / "a").write_text("step,train/loss,val/loss\n2,4.0,\n4,3.0,2.0\n6,1.0,\n")
    (tmp_path / "b").write_text("step,train/loss,val/loss\n4,5.0,4.0\n5,1.0,\n6,2.0,\n8,0.5,\n")
    means, deviations = mean_curves([tmp_path / "a", tmp_path / "b"], ["train/loss", "val/loss"], 100)
    assert means.points == {"train/loss": [(4, 4.0), (6, 1.5)], "val/loss": [(4, 3.0)]}
    assert deviations.points["train/loss"] == [(4, pytest.approx(2**0.5)), (6, pytest.approx(0.5**0.5))]


def test_the_table_in_python(seeds):
    """Without pandas a list of dicts; with it the same as columns."""
    import rnnscope

    table = rnnscope.compare(group="seed")
    rows = table if isinstance(table, list) else table.to_dict("records")
    assert [(row["model.cell"], row["runs"]) for row in rows] == [("lstm", 4), ("gru", 4)]
    table = rnnscope.compare(seeds / "sweeps", filter="seed=2", sort="-bits_per_character")
    rows = table if isinstance(table, list) else table.to_dict("records")
    assert [row["run"] for row in rows] == ["s/gru-2", "s/lstm-2"]
