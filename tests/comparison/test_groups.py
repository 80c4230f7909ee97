"""`compare group=seed`: means, intervals and the test between two groups, against hand computation and plain Python."""

import csv
import io
import itertools
import json
import statistics

import pytest
from messages import assert_says, error_line, line_with
from test_compare import put_run, with_result

from rnnscope.cli import main
from rnnscope.comparison.curves import mean_curves
from rnnscope.comparison.groups import interval, permutation_test

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
