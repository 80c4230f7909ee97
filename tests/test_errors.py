"""What somebody reads who mistyped: one line that names the key or file, what was found, what to do; and no run folder."""

import errno
import os
from pathlib import Path

import pytest
import torch
from conftest import TINY

from rnnscope.cli import main


@pytest.fixture
def fails(outputs: Path, capsys: pytest.CaptureFixture[str]):
    """Run a command line that must fail, and return its one line without the prefix."""

    def run(*arguments: str, folder: bool = False) -> str:
        assert main(list(arguments)) == 1
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        prefix, end = "rnnscope: error: ", "\n"
        assert said.err.startswith(prefix)
        assert said.err.endswith(end)
        assert said.err.count(end) == 1, said.err
        assert (outputs / "runs").exists() == folder
        return said.err[len(prefix) : -1]

    return run


def write(folder: Path, contents: bytes) -> Path:
    path = folder / "a text.txt"
    path.write_bytes(contents)
    return path


def test_a_missing_file(fails, tmp_path):
    path = tmp_path / "no book (1).txt"
    message = f"text={path}: no such file or folder: give an existing file, folder or glob"
    assert fails("train", f"text={path}", *TINY) == message


@pytest.mark.parametrize("named", ["dataset=tiny_shakespeare", "dataset=python_stdlib", "dataset=wikitext_2"])
def test_a_missing_file_is_neither_downloaded_nor_replaced(fails, tmp_path, monkeypatch, named):
    monkeypatch.setattr("socket.socket.connect", None)
    path = tmp_path / "none.txt"
    message = f"text={path}: no such file or folder: give an existing file, folder or glob"
    assert fails("train", f"text={path}", named, *TINY) == message
    assert fails("train", named, f"text={path}", *TINY) == message


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "{}: no text, only white space: give another text"),
        (b"\n \n", "{}: no text, only white space: give another text"),
        (
            b"un caf\xe9 noir " * 100,
            "{}: not utf-8: byte 0xE9 at offset 6 (invalid continuation byte):"
            " set dataset.encoding to the one it is written in (cp1252, latin-1 or shift_jis, say)",
        ),
        (b"a" * 5000, "the train split has one distinct token, 'a': nothing can be learnt, give another text"),
        (
            b"hello world\n" * 3,
            "the train split has 32 tokens, fewer than one window of dataset.batch_size x dataset.sequence_length ="
            " 4 x 12 = 48: give more text, or dataset.batch_size=4 dataset.sequence_length=8 would fit",
        ),
    ],
    ids=["empty", "blank", "not utf-8", "one character", "too short"],
)
def test_a_text_that_cannot_be_trained_on(fails, tmp_path, contents, message):
    path = write(tmp_path, contents)
    assert fails("train", f"text={path}", *TINY) == message.format(path)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "dataset.vocabulary_size=3",
            "dataset.vocabulary_size=3: at least 4 (UNK, START and END are counted and one token must be left),"
            " or null for no limit",
        ),
        ("optimizer.lr=-0.1", "optimizer.lr=-0.1 must be above 0"),
        ("optimizer.betas=[0.9]", "optimizer.betas=[0.9] must be two numbers, as in [0.9, 0.99]"),
        ("trainer.max_steps=0", "trainer.max_steps=0 must be at least 1"),
        ("trainer.accelerator=tpu", "trainer.accelerator=tpu is unknown: choose one of auto, cpu, gpu"),
        ("trainer.precision=fp8", "trainer.precision=fp8 is unknown: choose one of auto, float32, bf16"),
        ("trainer.threads=0", "trainer.threads=0 must be at least 1, or null for one a core"),
        ("model.dropout=1.5", "model.dropout=1.5 must lie in [0, 1): it is the share of units dropped"),
        ("schedule.warmup_steps=-5", "schedule.warmup_steps=-5 must be at least 0"),
        ("name=a/b", "name='a/b' cannot be the name of a run folder: leave out slashes and dots alone"),
        (
            "trainer.max_steps=null",
            "this training would never end: set trainer.max_steps, trainer.max_epochs or trainer.max_minutes",
        ),
        (
            "monitor.sample_prompt=é(",
            "monitor.sample_prompt has 1 token(s) the run's vocabulary lacks: 'é'; leave them out",
        ),
    ],
)
def test_a_value_that_means_nothing(fails, story, word, message):
    assert fails("train", f"text={story}", *TINY, word) == message


def test_a_step_map_without_a_beginning(fails, story):
    message = "schedule.rates={1: 0.1} says no rate for step 0: begin with {0: ...}"
    assert fails("train", f"text={story}", *TINY, "schedule=step_map", "schedule.rates={1: 0.1}") == message


def test_no_gpu(fails, story, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = "trainer.accelerator=gpu, but torch finds no GPU here: use trainer=cpu, or install torch for CUDA"
    assert fails("train", f"text={story}", *TINY, "trainer=gpu") == message


LISTS = " (rnnscope train --cfg job lists them all)"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optimzer.lr=1", f"there is no key optimzer.lr: did you mean optimizer.lr?{LISTS}"),
        ("model.hiden_size=3", f"there is no key model.hiden_size: did you mean model.hidden_size?{LISTS}"),
        ("hidden_size=3", f"there is no key hidden_size: did you mean model.hidden_size?{LISTS}"),
        ("model.colour=red", f"there is no key model.colour{LISTS}"),
        ("txt=book.txt", f"there is no key txt: did you mean text?{LISTS}"),
        ("datset=names", f"there is no key datset: did you mean dataset?{LISTS}"),
        (
            "optimizer.momentum=0.9",
            "the optimizer chosen here has no key optimizer.momentum; it belongs to optimizer=sgd or optimizer=rmsprop",
        ),
        ("model=lstn", "model=lstn is no choice: did you mean lstm? There are: gru, lstm, rnn"),
        ("optimizer=lion9000", "optimizer=lion9000 is no choice; there are: adagrad, adam, adamw, rmsprop, sgd"),
        ("model=3", "model=3 is no choice; there are: gru, lstm, rnn"),
        ("+foo=1", "+foo=1: keys are neither added nor removed, only set; write foo=1"),
        ("++seed=3", "++seed=3: keys are neither added nor removed, only set; write seed=3"),
        ("~model.cell", "~model.cell: keys are neither added nor removed, only set; write model.cell=..."),
        ("model.hidden_size=abc", "model.hidden_size=abc: this is no whole number"),
        ("model.hidden_size=1.5", "model.hidden_size=1.5: this is no whole number"),
        ("model.hidden_size=null", "model.hidden_size=null: null is no value for it"),
        ("optimizer.lr=fast", "optimizer.lr=fast: this is no number"),
        ("model.bias=maybe", "model.bias=maybe: this is neither true nor false"),
        ("optimizer.betas=3", "optimizer.betas=3: this is no list: write [a, b]"),
        ("optimizer.betas=[a,b]", "optimizer.betas=[a,b]: this is no number"),
        (
            "model.hidden_size=(3",
            "model.hidden_size=(3: this value cannot be read;"
            " a text with such marks needs quotes inside quotes: key='\"some text\"'",
        ),
        ("name=a,b", "name=a,b: a comma makes a sweep, which needs -m; a text with a comma needs quotes inside quotes"),
        ("text", "'text' is neither an option nor key=value; a text with spaces needs quotes: key='some words'"),
        ("=3", "=3: '' is no key; write key=value"),
        ("--lr=3", "there is no option --lr; keys are written key=value, as in lr=3"),
        ("--multirum", "there is no option --multirum; keys are written key=value, as in multirum=..."),
    ],
)
def test_a_word_that_is_no_override(fails, word, message):
    assert fails("train", word) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cfg", "foo"], "--cfg takes one of job, hydra, all, not foo"),
        (["--cfg=foo"], "--cfg takes one of job, hydra, all, not foo"),
        (["-c"], "-c takes one of job, hydra, all, not nothing"),
        (
            ["--info", "model=gru"],
            "--info takes one of all, aliases, config, defaults, defaults-tree, plugins, searchpath, not model=gru",
        ),
        (["--cfg", "job", "-p"], "-p takes the name of a section, such as model"),
    ],
)
def test_an_option_with_a_value_it_does_not_take(fails, words, message):
    assert fails("train", *words) == message


@pytest.mark.parametrize("word", ["schedule=step_map schedule.rates=abc", "schedule=step_map schedule.rates={a: 1}"])
def test_a_step_map_of_the_wrong_type(fails, word):
    choice, rates = word.split(" ", 1)
    assert fails("train", choice, rates) in (
        "schedule.rates=abc: this is no map: write {0: 0.1, 4000: 0.01}",
        "schedule.rates={a: 1}: a is no whole number",
    )


@pytest.mark.parametrize("command", ["sample", "evaluate", "resume", "reproduce"])
def test_a_run_that_is_none(fails, outputs, tmp_path, command):
    (tmp_path / "file").touch()
    message = f"run=nosuch: neither a run folder nor the name of one of the 0 runs under {outputs}"
    assert fails(command, "run=nosuch") == message
    assert fails(command, f"run={tmp_path}") == f"run={tmp_path}: this folder is no run (it has no config.yaml)"
    none = f"run=latest: there is no run with a checkpoint under {outputs}; train one with: rnnscope train"
    assert fails(command) == none


def test_other_commands_have_keys_of_their_own(fails):
    assert (
        fails("sample", "lenght=3") == "there is no key lenght: did you mean length? (rnnscope sample --cfg job lists them all)"
    )
    assert fails("sample", "temperature=hot") == "temperature=hot: this is no number"
    assert fails("sample", "model=lstm") == "there is no key model (rnnscope sample --cfg job lists them all)"
    assert fails("evalute") == "there is no command 'evalute': did you mean 'evaluate'?; see rnnscope --help"


def test_out_of_gpu_memory_while_training(fails, story, monkeypatch):
    from rnnscope.model.language_model import LanguageModel

    def read(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nmore lines")

    monkeypatch.setattr(LanguageModel, "read", read)
    assert fails("train", f"text={story}", *TINY, folder=True) == (
        "out of GPU memory at step 1 (CUDA out of memory. Tried to allocate 9 GiB.);"
        " lower one of dataset.batch_size (4), dataset.sequence_length (12), model.hidden_size (16)"
    )


def test_out_of_gpu_memory_before_training(fails, story, monkeypatch):
    def no_room(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nmore lines")

    monkeypatch.setattr("rnnscope.commands.assemble.build_model", no_room)
    assert fails("train", f"text={story}", *TINY).startswith("out of GPU memory (CUDA out of memory. Tried to allocate 9 GiB.)")


def test_outputs_that_cannot_be_made(fails, story, monkeypatch, tmp_path):
    nowhere = tmp_path / "a file" / "outputs"
    nowhere.parent.write_text("in the way")
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(nowhere))
    error = fails("train", f"text={story}", *TINY)
    assert str(nowhere) in error
    assert "set RNNSCOPE_OUTPUTS to another place" in error


def test_a_disk_that_is_full_before_training(fails, story, outputs, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("rnnscope.commands.fit.write_snapshot", full)
    assert fails("train", f"text={story}", *TINY, folder=True) == (
        f"no space at {outputs} (No space left on device); make room, or set RNNSCOPE_OUTPUTS to another place"
    )


def test_a_traceback_for_who_asks(outputs, monkeypatch):
    from rnnscope.errors import UserError

    monkeypatch.setenv("RNNSCOPE_TRACEBACK", "1")
    with pytest.raises(UserError, match="no option"):
        main(["train", "--lr=3"])
