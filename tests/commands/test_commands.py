"""Whole commands, as people type them."""

import io
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import AWKWARD, TINY
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import assert_says, error_line, line_with, user_error

import rnnscope
from rnnscope.analysis.evaluate import Report, table
from rnnscope.analysis.ngram import NGram
from rnnscope.analysis.own_data import own_stream
from rnnscope.analysis.suffix_array import SuffixArray
from rnnscope.cli import COMMANDS, main
from rnnscope.config import schema
from rnnscope.config.hydra_errors import keys_of
from rnnscope.config.overrides import protect, quote
from rnnscope.model.scoring import Score


def run_command(*words: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "rnnscope", *words], capture_output=True, timeout=120, **options)


@pytest.fixture
def trained(tiny_run, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny run's folder, for `run=`, with the outputs folder that it lies in."""
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tiny_run.run.path.parents[2]))
    return str(tiny_run.run.path)


def only_run(outputs: Path) -> Path:
    (config,) = outputs.glob("runs/*/*/config.yaml")
    return config.parent


AWKWARD_NAMES = ["my book (1), 'x'=y #2.txt", "吾輩は 猫.txt", "1234", "${HOME} \\ [a,b] {c}.txt", "null", "-"]


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_any_file_name_is_a_text(name, story, outputs, tmp_path, monkeypatch, capsys):
    (tmp_path / name).write_bytes(story.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert main(["train", f"text={name}", *TINY, "trainer.max_steps=2"]) == 0, capsys.readouterr().err
    run = only_run(outputs)
    assert rnnscope.load(str(run)).config["dataset"]["corpus"]["path"] == str(tmp_path / name)
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "finished"
    assert record["config"]["dataset.corpus.path"] == str(tmp_path / name)


def test_a_new_user_trains_samples_and_scores(story, tmp_path):
    name = AWKWARD_NAMES[0]
    (tmp_path / name).write_bytes(story.read_bytes())
    environment = {key: value for key, value in os.environ.items() if key != "RNNSCOPE_OUTPUTS"}
    done = run_command("train", f"text={name}", *TINY, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    run = only_run(tmp_path / "outputs")
    said = done.stdout.decode()
    line_with(said, "finished", "step 30")
    for part in (str(run.relative_to(tmp_path)), "rnnscope sample 'run=", "rnnscope resume 'run="):
        assert part in said
    assert (run / "train.log").read_text(encoding="utf-8") == said
    next_command = next(shlex.split(line)[2:] for line in said.splitlines() if line.startswith("  sample "))
    prompt = "(a, 'b') ="
    done = run_command(*next_command, f"prompt={prompt}", "length=20", "seed=3", cwd=tmp_path, env=environment)
    assert done.returncode == 0
    assert done.stdout.decode() == rnnscope.load(str(run)).sample(prompt, 20, seed=3) + "\n"
    assert done.stderr == b""


PROMPTS = {
    "brackets": "(brackets), [more], {and};",
    "quotes": "'quotes' \"too\"",
    "marks": 'too" = # $HOME ${HOME} \\ % ~ ! *',
    "only a reference": "${HOME}",
    "backslashes": "\\\\ \\",
    "escaped reference": "\\${HOME} \\\\${HOME}",
    "quote at the end": "a'",
    "backslash at the end": "a\\",
    "newline": "a.\nb",
    "spaces": "  a  ",
    "Japanese": "日本語",
    "digits": "0123",
    "a number": "12",
    "dashes": "--",
    "empty": "",
    "a list": "a,b,c",
    "a key": "prompt=a",
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
def test_any_prompt_is_taken_as_it_is(prompt, trained, capsys):
    assert main(["sample", f"prompt={prompt}", "length=6", "seed=5", "temperature=1.0"]) == 0
    said = capsys.readouterr()
    assert said.out == rnnscope.load(trained).sample(prompt, 6, seed=5, temperature=1.0) + "\n"
    assert said.out.startswith(prompt)
    assert said.err == ""


def test_a_prompt_from_standard_input(trained):
    prompt = f"a\n\n{AWKWARD} b"
    done = run_command("sample", f"run={trained}", "prompt=-", "length=5", "seed=1", input=prompt.encode())
    assert done.stdout.decode() == rnnscope.load(trained).sample(prompt, 5, seed=1) + "\n"


def test_a_prompt_outside_the_vocabulary_is_named(trained, capsys):
    assert main(["sample", "prompt=é(ü", "length=5"]) == 1
    assert_says(capsys.readouterr().err.splitlines()[-1], 2, "vocabulary", "'é'", "'ü'", "unknown=skip", "unknown=replace")
    assert main(["sample", "prompt=é(ü", "length=5", "unknown=skip", "seed=1"]) == 0
    assert capsys.readouterr().out.startswith("é(ü")


def test_a_stop_string_ends_a_text_and_is_kept(trained, capsys):
    assert main(["sample", "length=300", "seed=1", "temperature=1.5"]) == 0
    whole = capsys.readouterr().out[:-1]
    stop = next(mark for mark in "),='#]" if mark in whole)
    assert main(["sample", "length=300", "seed=1", "temperature=1.5", f"stop={stop}"]) == 0
    assert capsys.readouterr().out[:-1] == whole[: whole.index(stop) + 1]


def test_several_texts_at_once(trained, capsys):
    assert main(["sample", "count=3", "length=8", "seed=2", "prompt=a"]) == 0
    texts = capsys.readouterr().out[:-1].split("\n---\n")
    assert len(texts) == 3
    assert all(text.startswith("a") for text in texts)
    assert len(set(texts)) > 1


def test_the_seed_is_said_where_none_is_given(trained, capsys):
    assert main(["sample", "length=8"]) == 0
    first = capsys.readouterr()
    (seed,) = re.findall(r"seed=(\d+)\n", first.err)
    assert main(["sample", "length=8", f"seed={seed}"]) == 0
    assert capsys.readouterr().out == first.out


@pytest.mark.parametrize("checkpoint", ["best", "last", "20"])
def test_checkpoints_by_name(trained, checkpoint, capsys):
    assert main(["sample", f"checkpoint={checkpoint}", "length=8", "seed=1"]) == 0
    expected = torch.load(
        Path(trained) / f"checkpoints/{'step_20' if checkpoint == '20' else checkpoint}.ckpt", weights_only=True
    )
    model = rnnscope.load(trained, checkpoint).model
    assert torch.equal(model.head.weight, expected["state_dict"]["head.weight"])
    capsys.readouterr()
    assert main(["sample", "checkpoint=21"]) == 1
    assert_says(error_line(capsys.readouterr().err), "checkpoint", 21, 20, "best", "last")


def test_a_checkpoint_by_its_path(trained, capsys, monkeypatch):
    path = f"{trained}/checkpoints/step_20.ckpt"
    wanted = rnnscope.load(trained, "20").model.head.weight
    for words in ((path,), (trained, "step_20.ckpt"), (path, "step_20")):
        assert torch.equal(rnnscope.load(*words).model.head.weight, wanted)
    assert not torch.equal(rnnscope.load(trained).model.head.weight, wanted)
    assert main(["evaluate", f"run={path}"]) == 0
    line_with(capsys.readouterr().out, f"{trained},", "checkpoint", "step_20")
    monkeypatch.chdir(f"{trained}/checkpoints")
    assert torch.equal(rnnscope.load("step_20.ckpt").model.head.weight, wanted)


def test_a_checkpoint_is_refused_where_a_run_is_wanted(trained, capsys):
    path = f"{trained}/checkpoints/step_20.ckpt"
    assert main(["resume", f"run={path}", "trainer.max_steps=50"]) == 1
    assert_says(error_line(capsys.readouterr().err), f"run={path}", f"run={trained}")
    assert main(["sample", f"run={path}", "checkpoint=last"]) == 1
    assert_says(error_line(capsys.readouterr().err), f"run={path}", "checkpoint=last")


def table_of(out: str) -> dict[str, float]:
    """Return the nats per token of each row that evaluate prints."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines() if re.search(r" \d+\.\d{4} ", line)]
    return {name: float(nats) for name, nats, *_ in rows}


def test_a_text_in_another_encoding_than_the_run_s(trained, tmp_path, capsys):
    text = tmp_path / "old.txt"
    text.write_bytes(b"un caf\xe9 noir")
    assert main(["evaluate", f"text={text}"]) == 1
    message = error_line(capsys.readouterr().err)
    assert_says(message, text, "0xE9", 6, "invalid continuation byte", *["utf-8"] * 3)  # found, the run's own, to be made
    assert "dataset.encoding" not in message


def test_evaluate_prints_what_scoring_by_hand_gives(trained, story, tmp_path, capsys):
    splits = json.loads((Path(trained) / "run.json").read_text(encoding="utf-8"))["data"]["splits"]
    whole = story.read_text(encoding="utf-8")
    begin = splits["train"]["characters"]
    val = whole[begin : begin + splits["val"]["characters"]]
    run = rnnscope.load(trained)
    assert main(["evaluate", "precision=float32", "window=32"]) == 0
    out = capsys.readouterr().out
    rows = table_of(out)
    assert rows["state carried over all of it"] == round(run.score(val).loss, 4)
    assert rows["windows of 32 from a zero state"] == round(run.score(val, carried=False, window=32).loss, 4)
    counts = [val.count(character) for character in set(val)]
    entropy = -sum(count / len(val) * math.log(count / len(val)) for count in counts)
    assert rows["guessing by this text's frequencies"] == round(entropy, 4)
    size = len(run.vocabulary)
    assert rows[f"guessing blindly, ln({size})"] == round(math.log(size), 4)
    line_with(out, f"{len(val):,} tokens", f"{len(val):,} characters", "0.00 %")
    (tmp_path / "the val (1).txt").write_text(val, encoding="utf-8")
    assert main(["evaluate", "precision=float32", "window=32", f"text={tmp_path / 'the val (1).txt'}"]) == 0
    assert table_of(capsys.readouterr().out) == rows
    assert main(["evaluate", "precision=float32", "split=test"]) == 0
    line_with(capsys.readouterr().out, "test split", "story")


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "train"])
def test_help_explains_each_key(command, capsys):
    assert main([command, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    groups = {"callbacks", "logger", "model"}  # conf/ has a file for each choice
    for key in {key for key in keys_of(schema.COMMANDS[command]) if key.partition(".")[0] not in groups}:
        assert any(re.match(rf"\"?{key}\"?: .*  # \w", line) for line in lines), key
    assert f"    rnnscope {command}" in "\n".join(lines)


def test_a_key_without_its_section_is_found(trained, capsys):
    assert main(["resume", f"run={trained}", "max_steps=500"]) == 1
    assert_says(error_line(capsys.readouterr().err), "max_steps", "trainer.max_steps")
    assert main(["resume", f"run={trained}", "model.hidden_size=5"]) == 1
    remedy = f"rnnscope train from={trained} model.hidden_size=..."
    assert_says(error_line(capsys.readouterr().err), "model.hidden_size", remedy)


def test_a_bad_name_is_refused_before_the_text_is_read(story, capsys):
    assert main(["train", f"text={story}", *TINY, "name=a/b"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert_says(error_line(printed.err), "name", "a/b", "slashes")


def test_a_loaded_run_prints_in_a_line(trained):
    run = rnnscope.load(trained)
    assert_says(repr(run), trained, "1 x 16", "lstm", len(run.vocabulary), "char")


def test_samples_are_scored_one_by_one(tmp_path, monkeypatch, capsys):
    """A run of names knows nothing of the line before: a row for each line, from a zero state, in float64."""
    names = [f"{first}{last}" for first in ("an", "be", "cor", "dem", "el") for last in ("na", "rt", "inda", "o", "lia")]
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path / "outputs"))
    text = tmp_path / "names.txt"
    text.write_text("\n".join(names * 8) + "\n", encoding="utf-8")
    words = ["dataset.windows=samples", "dataset.start_end=line", "dataset.batch_size=4"]
    assert main(["train", f"text={text}", *TINY, *words, "trainer.max_steps=5"]) == 0, capsys.readouterr().err
    best = float(re.findall(r"best val/loss ([\d.]+)", capsys.readouterr().out)[-1])
    assert main(["evaluate"]) == 0
    assert table_of(capsys.readouterr().out)["each sample from a zero state"] == best
    assert main(["evaluate", "precision=float32", f"text={text}"]) == 0
    run, nats, count = rnnscope.load(), 0.0, 0
    for name in names:
        ids = torch.tensor([[run.vocabulary.start, *run.vocabulary.encode(name), run.vocabulary.end]])
        with torch.no_grad():
            logits, _ = run.model(ids[:, :-1])
        nats -= float(logits.double().log_softmax(-1).gather(-1, ids[:, 1:, None]).sum())
        count += ids.shape[1] - 1
    assert table_of(capsys.readouterr().out)["each sample from a zero state"] == pytest.approx(nats / count, abs=1e-4)
    assert run.score(text.read_text("utf-8")).loss == pytest.approx(nats / count, rel=1e-6)
    assert run.score("\n".join(names)).tokens == count
    with user_error("text"):
        run.score("\n")


def test_the_only_target_of_each_window_is_scored(story, outputs, capsys):
    """By hand: each window from a zero state in float64, the frequencies and the characters of its targets."""
    words = ["dataset.windows=many_to_one", "dataset.window_step=5", "trainer.max_steps=5"]
    assert main(["train", f"text={story}", *TINY, *words]) == 0, capsys.readouterr().err
    best = float(re.findall(r"best val/loss ([\d.]+)", capsys.readouterr().out)[-1])
    assert main(["evaluate"]) == 0
    assert table_of(capsys.readouterr().out)["the token after each window of 12"] == best
    assert main(["evaluate", "precision=float32", f"text={story}"]) == 0
    run, printed = rnnscope.load(), capsys.readouterr().out
    ids = torch.tensor(run.vocabulary.encode(story.read_text("utf-8")).tolist())
    begins = range(0, len(ids) - 12, 5)
    with torch.no_grad():
        logits, _ = run.model(torch.stack([ids[begin : begin + 12] for begin in begins]))
    targets = torch.stack([ids[begin + 12] for begin in begins])
    nats = torch.nn.functional.cross_entropy(logits[:, -1].double(), targets).item()
    shares = torch.bincount(targets).double() / len(targets)
    rows = table_of(printed)
    assert rows["the token after each window of 12"] == pytest.approx(nats, abs=1e-4)
    assert rows["guessing by this text's frequencies"] == pytest.approx(
        -float(torch.special.xlogy(shares, shares).sum()), abs=1e-4
    )
    (*_, expected) = NGram(SuffixArray(own_stream(run, "train")), len(run.vocabulary), 10).probabilities(
        np.insert(ids.numpy(), 0, run.vocabulary.start)
    )
    ngram = -np.log(expected[[begin + 12 for begin in begins]]).mean()
    assert rows["10-gram of the training split"] == pytest.approx(ngram, abs=1e-4)
    (line,) = (line for line in printed.splitlines() if "each window of 12" in line)
    assert f"{nats / math.log(2):.4f}" in line  # bits per character: each token is one
    score = run.score(story.read_text("utf-8"))
    assert (score.loss, score.bits_per_character) == pytest.approx((nats, nats / math.log(2)), abs=1e-5)
    assert main(["evaluate", "text=-", "lines=true"]) == 1
    assert_says(error_line(capsys.readouterr().err), "lines=true", "dataset.windows=many_to_one")


def test_nothing_is_tuned_without_a_val_split(story, outputs, capsys):
    words = ["dataset.split.val=0", "dataset.split.test=0.1", "trainer.max_steps=2"]
    assert main(["train", f"text={story}", *TINY, *words]) == 0, capsys.readouterr().err
    capsys.readouterr()
    for more in (["split=test", "tuned_temperature=true"], [f"text={story}", "dynamic=true"]):
        assert main(["evaluate", *more]) == 1
        assert_says(error_line(capsys.readouterr().err), more[1], "val", "leave it out")


def test_words_outside_the_vocabulary_are_spelled(tmp_path, outputs, capsys):
    """Each of their characters, and their end, is one of those that the vocabulary has."""
    text = tmp_path / "words.txt"
    text.write_text("so it is and so it was " * 100 + "but never again ", encoding="utf-8")
    words = ["dataset.level=word", "dataset.minimum_count=5", "dataset.sequence_length=5", "trainer.max_steps=3"]
    assert main(["train", f"text={text}", *TINY, *words]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["evaluate", f"text={text}"]) == 0
    rows = table_of(capsys.readouterr().out)
    carried = rows["state carried over all of it"]
    nats = sum(len(word) + 1 for word in ("so", " but", " never", " again", " ")) * math.log(len(set(" soitandw")) + 1)
    assert rows["state carried over all of it, UNK spelled"] == pytest.approx(carried + nats / (7 * 100 + 4), abs=1e-4)


def test_lines_that_were_documents_are_scored_as_such(tmp_path, monkeypatch, capsys):
    """Without empty ones and line ends, in `evaluate` as in `score`."""
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path / "outputs"))
    (tmp_path / "names.txt").write_text("emma\nolivia\nava\n" * 60, encoding="utf-8")
    (tmp_path / "some.txt").write_text(text := "emma\n\n \nava\n", encoding="utf-8")
    words = ["dataset.corpus.lines=true", "dataset.corpus.separator=|", "trainer.max_steps=5"]
    for number, kind in enumerate((["dataset.start_end=document", "dataset.windows=samples"], []), 1):
        assert main(["train", f"text={tmp_path / 'names.txt'}", *TINY, *words, *kind, f"name=n{number}"]) == 0
        capsys.readouterr()
        assert main(["evaluate", f"run=n{number}", "precision=float32", f"text={tmp_path / 'some.txt'}", "json=true"]) == 0
        (found, *_) = json.loads(capsys.readouterr().out)["scores"].values()
        score = rnnscope.load(f"n{number}").score(text)
        assert (found["tokens"], found["characters"]) == (score.tokens, score.characters) == ((9, 7) if kind else (8, 8))
        assert found["loss"] == pytest.approx(score.loss, rel=1e-5)


def test_lines_of_a_stream_are_scored_between_start_and_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path / "outputs"))
    text = tmp_path / "lines.txt"
    text.write_text("so it is\nand so it was\n" * 60, encoding="utf-8")
    assert main(["train", f"text={text}", *TINY, "dataset.start_end=line", "trainer.max_steps=5"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "precision=float32", f"text={text}"]) == 0
    rows, run = table_of(capsys.readouterr().out), rnnscope.load()
    found = [run.score(text.read_text("utf-8"), carried=carried).loss for carried in (True, False)]
    assert found == [pytest.approx(rows[key], abs=1e-4) for key in rows if "state" in key]


def test_a_window_longer_than_the_text_is_the_text(trained, capsys):
    assert main(["evaluate", f"run={trained}", "precision=float32", "window=1000000000000"]) == 0
    rows = list(table_of(capsys.readouterr().out).values())
    assert rows[0] == pytest.approx(rows[1], abs=1e-4)


def test_a_score_is_a_sum_by_hand(trained):
    """One forward pass over the whole text, token by token, in float64."""
    run = rnnscope.load(trained)
    text = AWKWARD * 30  # longer than the windows that scoring cuts it into
    ids = torch.tensor([[run.vocabulary.start, *run.vocabulary.encode(text)]])
    with torch.no_grad():
        logits, _ = run.model.double()(ids[:, :-1])
    nats = -logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).sum()
    score = rnnscope.load(trained).score(text)
    assert score.tokens == len(text)
    assert score.nats == pytest.approx(nats.item(), rel=1e-5)
    assert score.bits_per_character == pytest.approx(nats.item() / math.log(2) / len(text), rel=1e-5)


def test_what_python_may_give_instead_of_text_and_whole_numbers(trained):
    run, found = rnnscope.load(trained), rnnscope.find(trained)
    calls = [
        ("length=2.5", lambda: run.sample(length=2.5)),
        ("seed=1.5", lambda: run.sample(length=1, seed=1.5)),
        ("text", lambda: run.score(b"bytes")),
        ("prompt", lambda: run.sample(prompt=None)),
        ("an argument", lambda: found.resume(["trainer.max_steps=50"])),
        ("an argument", lambda: rnnscope.compose([5])),
    ]
    for part, call in calls:
        with user_error(part):
            call()


def test_a_run_is_found_after_the_folder_changed(trained, monkeypatch, tmp_path):
    monkeypatch.chdir(Path(trained).parent)
    opened = (rnnscope.load(Path(trained).name), rnnscope.find(Path(trained).name))
    monkeypatch.chdir(tmp_path)
    first, second = (run.curve("val/loss") for run in opened)
    assert first == second
    assert first[0]


def test_lines_of_stdin_are_scored_as_they_come(trained):
    lines, run = ["a (b)", "", "x\ty = 1", "日本"], rnnscope.load(trained)
    words = [sys.executable, "-m", "rnnscope", "evaluate", f"run={trained}", "text=-", "lines=true"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for line, end in zip(lines, ("\n", "\n", "\r\n", ""), strict=True):
            process.stdin.write((line + end).encode())
            process.stdin.flush() if end else process.stdin.close()
            nats, tokens, bits, text = process.stdout.readline().decode().rstrip("\n").split("\t", 3)  # before the next
            assert (text, int(tokens)) == (line, len(line))
            if line:
                score = run.score(line)
                assert (float(nats), float(bits)) == pytest.approx((score.nats, score.bits_per_character), abs=2e-6)
    assert process.returncode == 0


@pytest.mark.parametrize("words", [["lines=true"], ["lines=true", "text=a.txt"]])
def test_lines_are_those_of_stdin(words, trained, capsys):
    assert main(["evaluate", *words]) == 1
    assert_says(error_line(capsys.readouterr().err), "lines=true", "text=-")


def test_a_line_without_a_token_has_a_row(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path / "outputs"))
    (text := tmp_path / "words.txt").write_text("so it is and so it was\n" * 60, encoding="utf-8")
    words = ["dataset.level=word", "dataset.words=space", "trainer.max_steps=5"]
    assert main(["train", f"text={text}", *TINY, *words]) == 0
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"so it\n \t \n\nit")))
    assert main(["evaluate", "text=-", "lines=true"]) == 0
    rows = [line.split("\t", 3) for line in capsys.readouterr().out.splitlines()]
    assert [(row[1], row[3]) for row in rows] == [("2", "so it"), ("0", " \t "), ("0", ""), ("1", "it")]


def test_a_perplexity_beyond_a_float_is_infinite():
    report = Report("a text", {"carried": Score(2000.0, 2, 0, 9)}, 800.0, 5, 0.0)
    assert [line.split()[-1] for line in table(report, words=True)[1:]] == ["inf", "inf", "5.0"]


def test_ctrl_c_ends_cleanly(story, outputs):
    words = [f"text={story}", *TINY, "trainer.max_steps=1000000", "monitor.lines_every=20"]
    environment = {**os.environ, "RNNSCOPE_OUTPUTS": str(outputs)}
    command = [sys.executable, "-u", "-m", "rnnscope", "train", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout
        assert process.stderr
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("step 40/"):
                process.send_signal(signal.SIGINT)
                break
        rest, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130
    assert errors == ""
    run = only_run(outputs)
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert (record["status"], record["reason"]) == ("interrupted", "SIGINT")
    step = record["progress"]["step"]
    assert step >= 40
    line_with(rest, "interrupted", f"step {step}")
    assert "rnnscope resume run=" in rest
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["task"]["step"] == step


BLOCKED = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "pytorch_lightning", "lightning_fabric", "tensorboard"):
            raise ImportError(f"{name} is too heavy for this")

sys.meta_path.insert(0, Refuse())
from rnnscope.cli import COMMANDS, main

for words in ([], ["--version"], ["-sc", "install=bash"]):
    assert main(words) == 0, words
for command in COMMANDS:
    for words in (["--help"], ["--cfg", "job"], ["--info", "searchpath"]):
        assert main([command, *words]) == 0, (command, words)
"""


def test_help_needs_nothing_heavy(outputs):
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "hidden_size: 512" in done.stdout
    assert not outputs.exists()


def test_help_loads_the_standard_library_only():
    code = "import sys; from rnnscope.cli import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & {"hydra", "omegaconf", "yaml", "numpy", "torch"}


@given(st.text(st.characters(exclude_categories=()), max_size=40))
@settings(deadline=None, max_examples=150)
def test_any_text_survives_the_grammar(text):
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    override = OverridesParser.create().parse_override(f"prompt={quote(text)}")
    config = OmegaConf.create({"HOME": "wrong", "prompt": ""})
    OmegaConf.update(config, "prompt", override.value())
    assert OmegaConf.to_container(config, resolve=True)["prompt"] == text  # type: ignore[index,call-overload]


@pytest.mark.parametrize("text", ["${HOME}", "\\${HOME}", "\\\\${HOME}", "$${HOME}", "'", "\\'", "\\", "${", "a\\${b}'\\"])
def test_references_and_quotes_survive_the_grammar(text):
    test_any_text_survives_the_grammar.hypothesis.inner_test(text)


def test_only_the_keys_of_a_person_are_protected():
    assert protect("sample", "prompt=a,b") == "prompt='a,b'"
    assert protect("sample", "length=5") == "length=5"
    assert protect("train", "text=a.txt") == "dataset.corpus.path='a.txt'"
    assert protect("train", "prompt=a,b") == "prompt=a,b"
