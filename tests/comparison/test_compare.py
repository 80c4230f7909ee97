"""`rnnscope compare`: what is printed, read back with other means than ours, and what broken or hostile folders do to it."""

import csv
import fcntl
import io
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY
from messages import assert_says, error_line

from rnnscope.cli import main
from rnnscope.comparison.collection import read_runs
from rnnscope.comparison.select import by_text

ESCAPES = "\x1b]0;owned\x07\x1b[31m\x9b2J"


def put_run(source: Path, target: Path, **changes: Any) -> Path:
    """Copy the small files of a run, with `changes` to its run.json: section__key for a nested one, None removes."""
    target.mkdir(parents=True)
    for name in ("config.yaml", "metrics.csv", "timings.csv", "samples.jsonl"):
        shutil.copy(source / name, target / name)
    record = json.loads((source / "run.json").read_text(encoding="utf-8"))
    for key, value in changes.items():
        section, _, inner = key.partition("__")
        place = record[section] if inner else record
        if value is None:
            place.pop(inner or section)
        else:
            place[inner or section] = value
    (target / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return target


def with_result(bits: float, **config: Any) -> dict[str, Any]:
    """Changes that make a run one with this result and these config keys (a double underscore for a dot)."""
    return {"last__best/bits_per_character": bits} | {f"config__{key}": value for key, value in config.items()}


@pytest.fixture
def sweep(trained_run, outputs: Path) -> Path:
    """The outputs folder with four runs that differ in learning rate and seed."""
    for name, bits, lr, seed in (("a", 2.5, 0.01, 1), ("b", 2.25, 0.003, 1), ("c", 3.5, 0.001, 2), ("d", 3.0, 0.0003, 2)):
        changes = with_result(bits, **{"optimizer.lr": lr, "seed": seed})
        put_run(trained_run.path, outputs / "sweeps" / "rates" / name, **changes)
    return outputs


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]):
    """Run `rnnscope compare` with these words and return what it wrote to stdout; nothing may be on stderr."""

    def run(*words: str) -> str:
        capsys.readouterr()
        assert main(["compare", *words]) == 0, capsys.readouterr().err
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    return run


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]):
    """Run `rnnscope compare` with these words, which must fail, and return its one line."""

    def run(*words: str) -> str:
        capsys.readouterr()
        assert main(["compare", *words]) == 1
        return error_line(capsys.readouterr().err)

    return run


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_csv_says_what_the_records_say(sweep, said):
    rows = rows_of(said("format=csv"))
    assert [row["run"] for row in rows] == ["rates/b", "rates/a", "rates/d", "rates/c"]
    for row in rows:
        record = json.loads((sweep / "sweeps" / row["run"] / "run.json").read_text())
        assert float(row["bits_per_character"]) == record["last"]["best/bits_per_character"]
        assert float(row["optimizer.lr"]) == record["config"]["optimizer.lr"]
        assert int(row["seed"]) == record["config"]["seed"]
        assert (row["status"], row["steps"]) == (record["status"], str(record["progress"]["step"]))
        assert int(row["parameters"]) == record["parameters"]
        assert float(row["time"]) == record["progress"]["seconds"]
        tokens = int((sweep / "sweeps" / row["run"] / "metrics.csv").read_text().splitlines()[-1].split(",")[2])
        assert float(row["tokens_per_second"]) == pytest.approx(tokens / record["progress"]["seconds"])
    facts = ["status", "steps", "time", "tokens_per_second", "parameters"]
    assert list(rows[0]) == ["run", "bits_per_character", "optimizer.lr", "seed", *facts]


def test_only_what_differs_is_a_column(sweep, trained_run, said):
    one_optimizer_has_it = with_result(4.0, **{"optimizer.lr": 0.1, "optimizer.momentum": 0.9, "optimizer.betas": None})
    put_run(trained_run.path, sweep / "runs" / "x" / "e", **one_optimizer_has_it)
    head = said("format=csv").splitlines()[0].split(",")
    assert "optimizer.momentum" not in head
    assert "model.cell" not in head
    assert "optimizer.lr" in head


def test_json_and_markdown_hold_the_same(sweep, said):
    values = json.loads(said("format=json", "columns=[run, lr, bits/char]"))
    assert values[0] == {"run": "rates/b", "optimizer.lr": 0.003, "bits_per_character": 2.25}
    lines = said("format=markdown", "columns=run,optimizer.lr").splitlines()
    assert lines == ["| run | optimizer.lr |", "| --- | ---: |"] + [
        f"| {row['run']} | {row['optimizer.lr']} |" for row in values
    ]


def test_a_table_names_its_runs_in_any_case_and_a_csv_has_what_is_asked_for(sweep, said):
    _, _, head, first, *_ = said("columns=bits_per_character").splitlines()
    assert head.split() == ["run", "bits/char"]
    assert first.split()[1:] == ["b", "2.2500"]
    assert said("columns=bits_per_character", "format=csv").splitlines()[0] == "bits_per_character"


@pytest.mark.parametrize(("name", "start"), [("a.csv", "run,"), ("a b.md", "| run |"), ("x.json", "["), ("t.txt", "4 runs")])
def test_a_file_gets_the_format_of_its_name(sweep, said, tmp_path, name, start):
    (line,) = said(f"output={tmp_path / name}").splitlines()
    assert_says(line, tmp_path / name, "4 runs")
    assert (tmp_path / name).read_text().startswith(start)


def test_sorting_and_a_limit(sweep, said):
    def order(*words: str) -> list[str]:
        return [row["run"][-1] for row in rows_of(said("format=csv", *words))]

    assert order("sort=-bits_per_character") == ["c", "d", "a", "b"]
    assert order("sort=optimizer.lr") == ["d", "c", "b", "a"]
    assert order("sort=-lr", "limit=2") == ["a", "b"]
    assert order("sort=-run") == ["d", "c", "b", "a"]


def test_a_column_that_no_run_has(sweep, capsys):
    assert main(["compare", "sort=nothing-like-it"]) == 1
    assert_says(error_line(capsys.readouterr().err), "sort=nothing-like-it", "bits_per_character", "status", "config key")


def test_runs_without_a_result_come_last(sweep, trained_run, said):
    none = put_run(trained_run.path, sweep / "sweeps" / "rates" / "none", best=None, last=None)
    (none / "metrics.csv").write_text((none / "metrics.csv").read_text().splitlines()[0] + "\n")
    record = json.loads((none / "run.json").read_text()) | {"status": "running", "progress": {"step": 0, "total": 30}}
    (none / "run.json").write_text(json.dumps(record))
    for word in ("sort=bits_per_character", "sort=-bits_per_character"):
        assert rows_of(said("format=csv", word))[-1]["run"] == "rates/none"


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("optimizer.lr<0.003", "dc"),
        ("optimizer.lr<=0.003", "bdc"),
        ("lr>0.001 seed=1", "ba"),
        ("lr > 0.001, seed = 1", "ba"),
        ("seed!=1", "dc"),
        ("optimizer.lr=1e-2", "a"),
        ("run=*/b", "b"),
        ("optimizer=adamw seed=1", "ba"),
        ("run!=rates/*", ""),
        ("status=fin*,bits/char<3", "ba"),
        ("dataset.name='text_files'", "badc"),
        ('monitor.sample_temperatures="[0.5,0.8,1.0]"', "badc"),
        ("monitor.sample_temperatures=[0.5, 0.8, 1.0] seed=2", "dc"),
        ("trainer.max_epochs=null started>2020", "badc"),
        ("model.bias=true", "badc"),
        ("dataset.name=text?files", ""),
    ],
)
def test_conditions(sweep, said, fails, condition, names):
    if names:
        assert "".join(row["run"][-1] for row in rows_of(said("format=csv", f"filter={condition}"))) == names
    else:
        assert_says(fails(f"filter={condition}"), "filter", condition, "4 runs")


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("filter=optimizer.l<1", ["column", "optimizer.l", "optimizer.lr"]),
        ("filter=modle.cell=lstm", ["column", "modle.cell", "model.cell"]),
        ("filter=qqqq=1", ["column", "qqqq"]),
        ("filter=seed=1 fast", ["fast", "key=value", "!=", "<", "<=", ">", ">="]),
        ("filter=seed<fast", ["fast", "number"]),
        ("filter=started>2026-13", ["2026-13", "date"]),
        ("sort=bits_per_charcter", ["column", "bits_per_charcter", "bits_per_character"]),
        ("sort=dropot", ["column", "dropot", "dropout"]),
        ("sort=weight", ["weight", 2, "update_size/embedding.weight", "update_size/head.weight"]),
        ("columns=run,sed", ["column", "sed", "seed"]),
        ("columns=[]", ["column", "columns=run,bits_per_character,optimizer.lr"]),
        ("format=html", ["table", "csv", "markdown", "json"]),
        ("limit=0", [1]),
        ("limit=many", ["number"]),
        ("folder=/no/such", ["exist"]),
        ("folder=", ["empty"]),
        ("folder=/etc/hostname", ["not a folder"]),
        ("html=", ["empty"]),
        ("output=/no/such/file.csv", ["No such file or directory"]),
        ("output=/tmp", ["folder"]),
        ("html=/no/such/file.html", ["No such file or directory"]),
    ],
)
def test_mistakes(sweep, fails, word, parts):
    assert_says(fails(word), *word.split("=", 1), *parts)


def test_a_key_that_is_not_there(sweep, fails):
    assert_says(fails("fliter=x"), "fliter", "filter", "rnnscope compare --cfg job")


def test_no_runs(outputs, fails, tmp_path):
    assert_says(fails(), outputs, "rnnscope train")
    assert_says(fails(f"folder={tmp_path}"), "folder", tmp_path)


def test_any_folder_of_runs(trained_run, tmp_path, said):
    folder = tmp_path / "some one's (runs), [a]"
    for name in ("x/deep/er/run", "run 2"):
        put_run(trained_run.path, folder / name)
    assert [row["run"] for row in rows_of(said("format=csv", f"folder={folder}"))] == ["run 2", "x/deep/er/run"]
    assert rows_of(said("format=csv", f"folder={folder / 'run 2'}"))[0]["run"] == "run 2"


def test_killed_is_not_running(sweep, trained_run, said):
    for name in ("alive", "dead"):
        put_run(trained_run.path, sweep / "sweeps" / "rates" / name, status="running", best=None, last=None)
    (sweep / "sweeps" / "rates" / "dead" / "run.lock").touch()
    with (sweep / "sweeps" / "rates" / "alive" / "run.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = {row["run"]: row for row in rows_of(said("format=csv"))}
    assert (rows["rates/alive"]["status"], rows["rates/dead"]["status"]) == ("running", "killed")
    metrics = rows_of((trained_run.path / "metrics.csv").read_text())
    best = min(float(row["val/bits_per_character"]) for row in metrics if row["val/bits_per_character"])
    assert float(rows["rates/dead"]["bits_per_character"]) == best  # its record has no result yet: metrics.csv has


def test_a_run_that_was_resumed_counts_with_what_it_has_done_since(sweep, trained_run, said):
    put_run(trained_run.path, sweep / "sweeps" / "rates" / "again", status="running", **with_result(99.0))
    (row,) = rows_of(said("format=csv", "filter=status=killed"))
    assert float(row["bits_per_character"]) < 99


def test_a_lock_that_may_not_be_opened_leaves_what_the_record_says(sweep, trained_run, said, monkeypatch):
    folder = put_run(trained_run.path, sweep / "sweeps" / "rates" / "theirs", status="running")
    (folder / "run.lock").touch()

    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("rnnscope.runs.record.is_locked", refuse)
    assert len(rows_of(said("format=csv", "filter=status=running"))) == 1


def on_terminal(columns: int, *words: str) -> list[str]:
    """Return what `rnnscope compare` shows on a terminal of so many columns."""
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}  # readline puts it into pytest's own
    command = [sys.executable, "-m", "rnnscope", "compare", *words]
    with subprocess.Popen(command, stdin=end, stdout=end, stderr=end, env=environment) as process:
        os.close(end)
        shown = b""
        while True:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # so Linux says that nobody writes any more
                break
        os.close(terminal)
    assert process.returncode == 0, shown
    return shown.decode().replace("\r", "").splitlines()


@pytest.mark.parametrize("columns", [80, 140])
def test_a_table_fits_its_terminal(sweep, trained_run, columns):
    for second, bits in ((50, 2.0), (51, 2.1)):
        many = {f"optimizer.a_rather_long_key_{index}": index * second for index in range(9)}
        put_run(trained_run.path, sweep / "runs" / "a-long-name" / f"2026-11-21_03-05-{second}", **with_result(bits, **many))
    lines = on_terminal(columns)
    head = next(index for index, line in enumerate(lines) if line.startswith("  run "))
    assert all(len(line) <= columns for line in lines[head : head + 7])
    assert lines[head + 1].startswith("* 2026-11-21_03-05-50 ")
    assert [line.split()[0] for line in lines[head + 2 : head + 4]] == ["2026-11-21_03-05-51", "b"]
    assert "2.0000" in lines[head + 1]
    assert " lr " in lines[head]


def test_a_table_says_what_it_has_no_room_for(sweep):
    lines = on_terminal(24)
    assert_says(lines[2], "finished", "30 steps")
    assert_says(lines[-1], "no room", "seed")


def test_a_printed_table_is_for_people_and_a_csv_is_exact(sweep, trained_run, said, tmp_path):
    """A pipe has no width of its own: a table there has 120 columns, and a learning rate that a search drew few digits."""
    drawn = {"optimizer.lr": 0.0031622776601683794}
    for index in range(2):
        many = {f"optimizer.key_{key}_{'x' * 20}": index for key in range(9)}
        put_run(trained_run.path, sweep / "sweeps" / "rates" / f"e{index}", **with_result(2.0, **drawn, **many))
    lines = said().splitlines()
    (best,) = [line for line in lines if line.startswith("*")]
    assert best.split()[:4] == ["*", "e0", "2.0000", "0.003162"]
    assert_says(lines.pop(), "no room", f"optimizer.key_8_{'x' * 20}")
    assert max(map(len, lines[1:])) <= 120
    assert float(rows_of(said("format=csv"))[0]["optimizer.lr"]) == drawn["optimizer.lr"]
    said(f"output={tmp_path / 'all.txt'}")
    assert "x" * 20 in (tmp_path / "all.txt").read_text()


def test_jobs_of_a_sweep_go_by_their_own_names(sweep, said):
    lines = said().splitlines()
    assert_says(lines[0], "4 runs", sweep, "rates", "bits_per_character", "*")
    assert [line.split()[:2] for line in lines[3:]] == [["*", "b"], ["a", "2.5000"], ["d", "3.0000"], ["c", "3.5000"]]


def test_the_best_on_each_text(sweep, trained_run, said):
    fingerprint = {"text": "another"}
    put_run(trained_run.path, sweep / "sweeps" / "rates" / "e", data={"fingerprint": fingerprint}, **with_result(9.0))
    lines = said().splitlines()
    assert [line.split()[1] for line in lines[3:] if line.startswith("*")] == ["b", "e"]
    headings = [line for line in lines if line.startswith("validation text: ")]
    for heading, parts in zip(headings, (["story", "4 runs"], ["story", "0 characters", "1 run"]), strict=True):
        assert_says(heading, *parts)


def test_a_run_that_did_not_end_well_is_not_the_best(sweep, trained_run, said):
    for status in ("diverged", "failed", "running"):
        put_run(trained_run.path, sweep / "sweeps" / "rates" / status, status=status, **with_result(1.0))
    put_run(trained_run.path, sweep / "sweeps" / "rates" / "stopped", status="interrupted", **with_result(2.0))
    assert [line.split()[1] for line in said().splitlines()[3:] if line.startswith("*")] == ["stopped"]


def test_a_text_of_unknown_words_is_another_text(sweep, trained_run, said):
    """A third of UNK is easily guessed: what it saves does not make a run the best one."""
    splits = json.loads((trained_run.path / "run.json").read_text(encoding="utf-8"))["data"]["splits"]
    splits["val"] |= {"unknown": splits["val"]["tokens"] // 3}
    put_run(trained_run.path, sweep / "sweeps" / "rates" / "e", data__splits=splits, **with_result(1.0))
    lines = said().splitlines()
    assert [line.split()[1] for line in lines if line.startswith("*")] == ["e", "b"]
    assert_says(lines[2], "validation text", "story", splits["val"]["unknown"], "unknown", "1 run")


def test_a_broken_run_among_good_ones(sweep, trained_run, capsys):
    def broken(name: str, text: bytes | None) -> Path:
        folder = put_run(trained_run.path, sweep / "runs" / "broken" / name)
        (folder / "run.json").unlink()
        if text is not None:
            (folder / "run.json").write_bytes(text)
        return folder

    whole = (trained_run.path / "run.json").read_bytes()
    record = json.loads(whole)
    broken("1-missing", None)
    broken("2-truncated", whole[: len(whole) // 2])
    broken("3-schema", json.dumps(record | {"schema": ESCAPES}).encode())
    broken("4-list", b"[1, 2]")
    broken("5-nested", b"[" * 100_000)
    broken("6-size", whole[:-2] + b"," + b" " * 2_000_000 + b'"x": 1}')
    broken("7-status", json.dumps(record | {"status": ESCAPES}).encode())
    broken("8-steps", json.dumps(record | {"progress": {"step": "many\nlines" + ESCAPES}}).encode())
    broken("9-number", whole.replace(b'"parameters": ', b'"parameters": ' + b"9" * 4200))
    broken("10-keys", json.dumps(record | {"config": {str(key): 0 for key in range(3000)}}).encode())
    (broken("11-link", None) / "run.json").symlink_to(trained_run.path / "run.json")
    os.mkfifo(broken("12-pipe", None) / "run.json")
    (broken("13-bytes", b"\xff\xfe\x00")).touch()
    assert main(["compare", "format=csv"]) == 0
    printed = capsys.readouterr()
    assert [row["run"] for row in rows_of(printed.out)] == ["rates/b", "rates/a", "rates/d", "rates/c"]
    lines = printed.err.splitlines()
    assert len(lines) == 13
    for number in range(1, 14):
        (line,) = [line for line in lines if f"/broken/{number}-" in line]
        assert line.startswith("warning: ")
        assert line.isprintable()
    reasons = {1: "missing", 6: "1,000,000", 11: "link", 12: "file"}
    for number, reason in reasons.items():
        (line,) = [line for line in lines if f"/broken/{number}-" in line]
        assert_says(line, "run.json", reason)


def test_only_broken_runs(trained_run, outputs, capsys):
    folder = put_run(trained_run.path, outputs / "runs" / "broken" / "a")
    (folder / "run.json").write_text("{")
    assert main(["compare"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert_says(lines[1], "rnnscope: error", outputs, "rnnscope train")


@pytest.mark.parametrize(
    ("keep", "parts"),
    [
        (lambda text: text[:-10], ["line"]),
        (lambda text: "".join(text.splitlines(keepends=True)[:5]), ["step 6", "step 30"]),
        (lambda text: "", ["step 0", "step 30"]),
        (None, ["missing"]),
    ],
)
def test_metrics_that_are_cut_off(sweep, capsys, keep, parts):
    path = sweep / "sweeps" / "rates" / "a" / "metrics.csv"
    text = path.read_text()
    path.unlink()
    if keep:
        path.write_text(keep(text))
    assert main(["compare", "format=csv"]) == 0
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert_says(line, "warning", path, *parts)
    assert len(rows_of(printed.out)) == 4


def test_links_are_not_followed(sweep, trained_run, tmp_path, capsys):
    put_run(trained_run.path, tmp_path / "elsewhere" / "run")
    (sweep / "runs").mkdir()
    (sweep / "runs" / "away").symlink_to(tmp_path / "elsewhere")
    (sweep / "runs" / "itself").symlink_to("itself")  # nobody can look there, as behind a folder that is closed
    (sweep / "sweeps" / "rates" / "a" / "metrics.csv").unlink()
    (sweep / "sweeps" / "rates" / "a" / "metrics.csv").symlink_to("/dev/zero")
    assert main(["compare", "format=csv", f"html={tmp_path / 'x.html'}", f"output={tmp_path / 'x.csv'}"]) == 0
    errors = capsys.readouterr().err.splitlines()
    links = {"runs/away": "link", "runs/itself": "cannot be read", "sweeps/rates/a/metrics.csv": "link"}
    for line, (path, what) in zip(errors, links.items(), strict=True):
        assert_says(line, "warning", sweep / path, what)
    assert len(rows_of((tmp_path / "x.csv").read_text())) == 4


def test_hostile_names_reach_no_terminal(sweep, trained_run, said, tmp_path):
    name = f"=cmd|x{ESCAPES}<b>`*\u202egnp"
    key = f"model.\x1b[5m{'k' * 20_000}"
    put_run(trained_run.path, sweep / "sweeps" / "rates" / name, **with_result(1.0, **{key: f"{ESCAPES}\n| x", "seed": 3}))
    put_run(trained_run.path, sweep / "sweeps" / "rates" / "g", **with_result(1.5, **{key: "y"}))
    for kind in ("table", "csv", "markdown", "json"):
        shown = said(f"format={kind}")
        assert all(line.isprintable() for line in shown.splitlines()), kind
        said(f"format={kind}", f"output={tmp_path / 'f'}")
        assert "\x1b" not in (tmp_path / "f").read_text()
    first = said("format=csv", f"folder={sweep / 'sweeps' / 'rates'}").splitlines()[1]
    assert first.startswith("'=cmd|x")  # no spreadsheet takes it for a formula
    assert "&lt;b>\\`\\*" in said("format=markdown")
    decoded = json.loads(said("format=json", "columns=run"))
    assert decoded[0]["run"] == f"rates/{name}"  # for a program the name is whole: it finds the folder by it


def test_wide_characters_keep_the_columns(sweep, trained_run, said):
    put_run(trained_run.path, sweep / "sweeps" / "rates" / "日本語", **with_result(1.0))
    lines = said("columns=run,bits_per_character").splitlines()[2:]
    assert lines[0].index("bits/char") - 3 == lines[1].index("   1.0000")  # three signs of two columns each


def test_reading_runs_loads_nothing_heavy(sweep):
    code = (
        "import sys; from rnnscope.cli import main; main(['compare']); main(['compare', 'html=/dev/null']); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in done.stdout.split()} & {"torch", "pytorch_lightning", "tensorboard", "numpy"}


OPENED = """
import sys
from collections import Counter
from rnnscope.cli import main

opened = Counter()
sys.addaudithook(lambda event, arguments: opened.update([str(arguments[0])]) if event == "open" else None)
main(["compare"])
for path, count in opened.items():
    if path.startswith(sys.argv[1]):
        print(path, count, file=sys.stderr)
"""


def test_few_files_of_a_run_are_opened(sweep):
    """With hundreds of runs the time is that of opening files: run.json once, metrics.csv for its head and for its end."""
    done = subprocess.run([sys.executable, "-c", OPENED, str(sweep)], capture_output=True, text=True, check=True)
    folders = [sweep / "sweeps" / "rates" / name for name in "abcd"]
    opened = [f"{folder}/{file}" for folder in folders for file in ("metrics.csv 2", "run.json 1")]
    assert sorted(done.stderr.splitlines()) == opened


def test_losses_compare_on_the_same_text_only_and_wherever_it_is(tmp_path, outputs, said):
    text = "".join(f"{number}: one text, and a little MORE of it.\n" for number in range(60))
    for name, content in (("a.txt", text), ("b.txt", text[:1400] + "something else\n" * 9), ("val.txt", text[:500])):
        (tmp_path / name).write_text(content)
    words = [*TINY, "trainer.max_steps=2", "trainer.val_every=2", "monitor.sample_length=0", "trainer.precision=float32"]
    for name, *keys in (
        ("plain",),
        ("few", "trainer.val_tokens=100000"),
        ("lower", "dataset.lower_case=true"),
        ("early", "dataset.split.train=0.8", "dataset.split.test=0.1"),
        ("own", f"dataset.corpus.val_path={tmp_path / 'val.txt'}"),
        ("other", f"text={tmp_path / 'b.txt'}", f"dataset.corpus.val_path={tmp_path / 'val.txt'}"),
    ):
        chosen = keys if any(key.startswith("text=") for key in keys) else [f"text={tmp_path / 'a.txt'}", *keys]
        assert main(["train", *chosen, f"name={name}", *words]) == 0
    texts = [sorted(run.folder.path.parent.name for run in same) for same in by_text(read_runs(outputs / "runs").runs).values()]
    assert sorted(texts) == [["early"], ["few", "plain"], ["lower"], ["other", "own"]]


def test_a_run_that_records_no_hash_of_its_val_text_compares_with_one_of_the_same_files(trained_run, outputs, capsys):
    new = put_run(trained_run.path, outputs / "runs" / "new" / "a")
    old = put_run(trained_run.path, outputs / "runs" / "old" / "a")
    for path, change in ((old, {"text_sha256": None}), (new, {})):
        record = json.loads((path / "run.json").read_text())
        record["data"]["splits"]["val"] |= change
        record["config"]["trainer.clip_norm"] = float("inf") if path == old else "inf"  # as older versions wrote it
        (path / "run.json").write_text(json.dumps(record))
    assert len(by_text(read_runs(outputs).runs)) == 1
    assert main(["compare", f"run={new}", f"with={old}"]) == 0
    said = capsys.readouterr().out
    assert "texts are different" not in said
    assert "clip_norm" not in said
    put_run(trained_run.path, outputs / "runs" / "lower" / "a")
    lower = json.loads((outputs / "runs/lower/a/run.json").read_text())
    lower["data"]["splits"]["val"]["text_sha256"] = "0" * 64  # two texts of the same files: the old one may be either
    (outputs / "runs/lower/a/run.json").write_text(json.dumps(lower))
    assert len(by_text(read_runs(outputs).runs)) == 3
