"""What somebody reads who mistyped: one line that names the key or file, what was found, what to do; and no run folder."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from messages import assert_says, error_line, line_with, user_error

from rnnscope.cli import main


@pytest.fixture
def fails(outputs: Path, capsys: pytest.CaptureFixture[str]):
    """Run a command line that must fail, and return its one line without the prefix."""

    def run(*arguments: str, folder: bool = False) -> str:
        assert main(list(arguments)) == 1
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        assert (outputs / "runs").exists() == folder
        return error_line(said.err)

    return run


def write(folder: Path, contents: bytes) -> Path:
    path = folder / "a text.txt"
    path.write_bytes(contents)
    return path


def test_a_missing_file(fails, tmp_path):
    path = tmp_path / "no book (1).txt"
    assert_says(fails("train", f"text={path}", *TINY), "text", path, "file", "folder", "glob")


@pytest.mark.parametrize("named", ["dataset=tiny_shakespeare", "dataset=python_stdlib", "dataset=wikitext_2"])
def test_a_missing_file_is_neither_downloaded_nor_replaced(fails, tmp_path, monkeypatch, named):
    monkeypatch.setattr("socket.socket.connect", None)
    path = tmp_path / "none.txt"
    for words in ([f"text={path}", named], [named, f"text={path}"]):
        assert_says(fails("train", *words, *TINY), "text", path, "file", "folder", "glob")


WOULD_FIT = ["dataset.batch_size=4", "dataset.sequence_length=8"]


@pytest.mark.parametrize(
    ("contents", "parts"),
    [
        (b"", ["a text.txt", "white space"]),
        (b"\n \n", ["a text.txt", "white space"]),
        (
            b"un caf\xe9 noir " * 100,
            ["a text.txt", "utf-8", "0xE9", 6, "invalid continuation byte", "dataset.encoding", "cp1252"],
        ),
        (b"a" * 5000, ["train", "'a'"]),
        (
            b"hello world\n" * 3,
            ["train", 32, "dataset.batch_size", 4, "dataset.sequence_length", 12, 48, *WOULD_FIT],
        ),
    ],
    ids=["empty", "blank", "not utf-8", "one character", "too short"],
)
def test_a_text_that_cannot_be_trained_on(fails, tmp_path, contents, parts):
    path = write(tmp_path, contents)
    assert_says(fails("train", f"text={path}", *TINY), *parts)


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("dataset.vocabulary_size=3", [4, "UNK", "START", "END", "null"]),
        ("optimizer.lr=-0.1", [0]),
        ("optimizer.betas=[0.9]", ["[0.9, 0.99]"]),
        ("trainer.max_steps=0", [1]),
        ("trainer.accelerator=tpu", ["auto", "cpu", "gpu"]),
        ("trainer.precision=fp8", ["auto", "float32", "bf16"]),
        ("trainer.threads=0", [1, "null"]),
        ("trainer.threads=4097", [4096]),
        ("trainer.max_epochs=inf", ["finite"]),
        ("optimizer.weight_decay=nan", ["finite"]),
        ("model.dropout=1.5", ["[0, 1)"]),
        ("schedule.warmup_steps=-5", [0]),
        ("name=a/b", ["run", "slashes"]),
        ("name=  ", ["blanks"]),
    ],
)
def test_a_value_that_means_nothing(fails, story, word, parts):
    assert_says(fails("train", f"text={story}", *TINY, word), *word.split("="), *parts)


def test_a_name_that_is_too_long_is_refused_before_the_text_is_looked_for(fails):
    assert_says(fails("train", "text=nosuch.txt", f"name={128 * 'ä'}"), f"name={40 * 'ä'}", 256, 255)


def test_a_training_without_an_end(fails, story):
    ends = ("trainer.max_steps", "trainer.max_epochs", "trainer.max_minutes")
    assert_says(fails("train", f"text={story}", *TINY, "trainer.max_steps=null"), *ends)


def test_a_prompt_outside_the_vocabulary(fails, story):
    message = fails("train", f"text={story}", *TINY, "monitor.sample_prompt=é(")
    assert_says(message, "monitor.sample_prompt", 1, "vocabulary", "'é'")


def test_a_step_map_without_a_beginning(fails, story):
    message = fails("train", f"text={story}", *TINY, "schedule=step_map", "schedule.rates={1: 0.1}")
    assert_says(message, "schedule.rates", "{1: 0.1}", "{0: ...}")


def test_no_gpu(fails, story, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = fails("train", f"text={story}", *TINY, "trainer=gpu")
    assert_says(message, "trainer.accelerator", "gpu", "torch", "trainer.accelerator=cpu", "CUDA")


LISTS = "rnnscope train --cfg job"
QUOTES = "key='\"some text\"'"


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("optimzer.lr=1", ["optimzer.lr", "optimizer.lr", LISTS]),
        ("model.hiden_size=3", ["model.hiden_size", "model.hidden_size", LISTS]),
        ("hidden_size=3", ["hidden_size", "model.hidden_size", LISTS]),
        ("model.colour=red", ["model.colour", LISTS]),
        ("txt=book.txt", ["txt", "text", LISTS]),
        ("datset=names", ["datset", "dataset", LISTS]),
        ("optimizer.momentum=0.9", ["optimizer.momentum", "optimizer=sgd", "optimizer=rmsprop"]),
        ("model=lstn", ["model", "lstn", "lstm", "gru", "lstm", "rnn"]),
        ("optimizer=lion9000", ["optimizer", "lion9000", "adagrad", "adam", "adamw", "rmsprop", "sgd"]),
        ("model=3", ["model", 3, "gru", "lstm", "rnn"]),
        ("+foo=1", ["+foo=1", "foo=1"]),
        ("++seed=3", ["++seed=3", "seed=3"]),
        ("~model.cell", ["~model.cell", "model.cell=..."]),
        ("model.hidden_size=abc", ["model.hidden_size", "abc", "number"]),
        ("model.hidden_size=1.5", ["model.hidden_size", 1.5, "whole number"]),
        ("model.hidden_size=null", ["model.hidden_size", "null"]),
        ("optimizer.lr=fast", ["optimizer.lr", "fast", "number"]),
        ("model.bias=maybe", ["model.bias", "maybe", "true", "false"]),
        ("optimizer.betas=3", ["optimizer.betas", 3, "list", "[a, b]"]),
        ("optimizer.betas=[a,b]", ["optimizer.betas", "[a,b]", "number"]),
        ("model.hidden_size=(3", ["model.hidden_size", "(3", QUOTES]),
        ("dataset.level=a,b", ["dataset.level", "a,b", "comma", "sweep", "-m", "quotes"]),
        ("text", ["text", "option", "key=value", "key='some words'"]),
        ("=3", ["=3", "''", "key=value"]),
        ("hydra.run.dir=x", ["hydra.run.dir=x", "name=", "RNNSCOPE_OUTPUTS"]),
        ("hydra.sweep.subdir=x", ["hydra.sweep.subdir=x", "name=", "RNNSCOPE_OUTPUTS"]),
        ("--config-dir=nowhere", ["--config-dir=nowhere", "folder"]),
        ("--lr=3", ["--lr", "option", "lr=3"]),
        ("--multirum", ["--multirum", "option", "multirum=..."]),
    ],
)
def test_a_word_that_is_no_override(fails, word, parts):
    assert_says(fails("train", word), *parts)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--cfg", "foo"], ["--cfg", "foo", "job", "hydra", "all"]),
        (["--cfg=foo"], ["--cfg", "foo", "job", "hydra", "all"]),
        (["-c"], ["-c", "job", "hydra", "all"]),
        (
            ["--info", "model=gru"],
            ["--info", "model=gru", "all", "aliases", "config", "defaults", "defaults-tree", "plugins", "searchpath"],
        ),
        (["--cfg", "job", "-p"], ["-p", "model"]),
        (["-m", "seed=1,2", "--cfg", "job"], ["-m", "--cfg", "together"]),
        (["--cfg", "job", "--info"], ["--cfg", "--info", "together"]),
        (["--resolve"], ["--resolve", "--cfg job"]),
    ],
)
def test_an_option_with_a_value_it_does_not_take(fails, words, parts):
    assert_says(fails("train", *words), *parts)


@pytest.mark.parametrize(
    ("rates", "parts"),
    [("schedule.rates=abc", ["abc", "{0: 0.1, 4000: 0.01}"]), ("schedule.rates={a: 1}", ["{a: 1}", "number"])],
)
def test_a_step_map_of_the_wrong_type(fails, rates, parts):
    assert_says(fails("train", "schedule=step_map", rates), "schedule.rates", *parts)


@pytest.mark.parametrize("command", ["sample", "evaluate", "resume", "reproduce"])
def test_a_run_that_is_none(fails, outputs, tmp_path, command):
    (tmp_path / "file").touch()
    assert_says(fails(command, "run=nosuch"), "run", "nosuch", "rnnscope train", outputs)
    assert_says(fails(command, f"run={tmp_path}"), "run", tmp_path, "config.yaml")
    assert_says(fails(command), "run", "latest", outputs, "checkpoint", "rnnscope train")


def test_other_commands_have_keys_of_their_own(fails):
    assert_says(fails("sample", "lenght=3"), "lenght", "length", "rnnscope sample --cfg job")
    assert_says(fails("sample", "temperature=hot"), "temperature", "hot", "number")
    assert_says(fails("sample", "model=lstm"), "model", "rnnscope sample --cfg job")
    assert_says(fails("evalute"), "evalute", "evaluate", "rnnscope --help")


def lacks_gpu_memory(*_: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nmore lines")


LACKS = {  # of memory, the last two real ones
    "GPU memory": (lacks_gpu_memory, ["CUDA out of memory. Tried to allocate 9 GiB.", "the CPU"]),
    "torch": (lambda *_: torch.empty(2**60), [2**62]),
    "numpy": (lambda *_: np.empty(2**56), ["Unable to allocate"]),
}


@pytest.mark.parametrize("whose", LACKS)
def test_out_of_memory(fails, story, monkeypatch, whose):
    """While it trains, where keys help, and while a text is prepared."""
    from rnnscope.model.language_model import LanguageModel

    allocate, (reason, *remedy) = LACKS[whose]
    with monkeypatch.context() as patch:
        patch.setattr(LanguageModel, "run_layers", allocate)
        message = fails("train", f"text={story}", *TINY, folder=True)
        assert_says(message, "step 1", "out of", reason, "dataset.batch_size", 4, "model.hidden_size", 16)
    monkeypatch.setattr("rnnscope.data.prepare.open_stream", allocate)
    assert_says(fails("train", f"text={story}", *TINY, folder=True), "out of", reason, "smaller model", *remedy)


def test_outputs_that_cannot_be_made(fails, story, monkeypatch, tmp_path):
    nowhere = tmp_path / "a file" / "outputs"
    nowhere.parent.write_text("in the way")
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(nowhere))
    assert_says(fails("train", f"text={story}", *TINY), nowhere, "RNNSCOPE_OUTPUTS")


def test_a_disk_that_is_full_before_training(fails, story, outputs, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("rnnscope.pipeline.fit.write_snapshot", full)
    message = fails("train", f"text={story}", *TINY, folder=True)
    assert_says(message, outputs, os.strerror(errno.ENOSPC), "RNNSCOPE_OUTPUTS")
    assert not list(outputs.glob("runs/*"))


@pytest.mark.parametrize(
    ("where", "step"), [("pipeline.fit.describe", ()), ("pipeline.callbacks.evaluate", ("step 10", "resume"))]
)
def test_too_many_open_files(fails, story, monkeypatch, where, step):
    """Before the first step, and in a validation; a memory map does not name its file."""

    def full(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(f"rnnscope.{where}", full)
    message = fails("train", f"text={story}", *TINY, folder=bool(step))
    assert_says(message, os.strerror(errno.EMFILE), "ulimit -n 4096", *step)


def test_a_traceback_for_who_asks(outputs, monkeypatch):
    monkeypatch.setenv("RNNSCOPE_TRACEBACK", "1")
    with user_error("--lr", "option"):
        main(["train", "--lr=3"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a Linux device")
@pytest.mark.parametrize("words", [["sample", "length=5"], ["compare"], ["runs"], ["--version"], ["train", "--help"]])
def test_an_output_that_takes_nothing_is_named_itself(words, trained_run, tmp_path):
    run = [f"run={trained_run.path}"] if words[0] == "sample" else []
    with open("/dev/full", "w") as full:
        environment = {**os.environ, "RNNSCOPE_OUTPUTS": str(trained_run.path.parents[2])}
        command = [sys.executable, "-m", "rnnscope", *words, *run]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert done.returncode == 1
    message = line_with(done.stderr, "output", os.strerror(errno.ENOSPC))
    assert "outputs" not in message


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["text=" + "long" * 100], ["File name too long"]),
        (["text=https://example.org/book.txt"], ["text=https://example.org/book.txt", "dataset.corpus.url", "download"]),
        (["text=/dev/null"], ["/dev/null", "neither a file nor a folder"]),
        (["dataset.encoding=undefined"], ["dataset.encoding", "undefined", "utf-8"]),
        (["dataset.remove=['b{99999999999}']"], ["dataset.remove", "regular expression"]),
        (["dataset.remove=['.+']"], ["dataset.remove", "nothing is left"]),
        (["optimizer.eps=0"], ["optimizer.eps", 0]),
        (["optimizer=rmsprop", "optimizer.alpha=1.5"], ["optimizer.alpha", 1.5, "[0, 1)"]),
        (["schedule.horizon=0"], ["schedule.horizon", 0, "null"]),
        (["name=latest"], ["name=latest", "run=latest"]),
        (["dataset.unk=null"], ["dataset.unk=null", "text"]),
        (
            ["callbacks=model_checkpoint", "callbacks.model_checkpoint.save_top_k=few"],
            ["callbacks.model_checkpoint.save_top_k=few", "whole number"],
        ),
        (["callbacks=model_checkpoint", "callbacks.model_checkpoint.monitor=val_loss"], ["monitor=val_loss", "val/loss"]),
        (["-m", "plugins=[a],[b]"], ["plugins=[a],[b]", "swept"]),
        (["--cfg", "job", "-p", "modle"], ["-p", "modle", "dataset, model, monitor"]),
    ],
)
def test_what_used_to_end_in_a_traceback_or_in_nothing(words, parts, story, outputs, capsys):
    given = [] if words[0].startswith("text=") else [f"text={story}"]
    assert main(["train", *given, *TINY, *words]) == 1
    assert_says(error_line(capsys.readouterr().err), *parts)
    assert not list(outputs.glob("runs/*/*"))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["visualize", "page=evolution", "unit=0:1"], ["unit=0:1", "page=evolution"]),
        (["visualize", "page=evolution", "causal=false"], ["causal=false", "page=evolution"]),
        (["visualize", "text=a chapter", "split=train"], ["split=train", "text="]),
        (["evaluate", "text=-", "split=train"], ["split=train", "text="]),
        (["evaluate", "temperatures=[0.5]"], ["temperatures=[0.5]", "samples="]),
        (["evaluate", "text=-", "lines=true", "window=3"], ["window=3", "lines=true"]),
        (["compare", "with=latest", "json=true"], ["json=true", "two runs"]),
        (["compare", "with=latest", "sort=time"], ["sort=time", "two runs"]),
        (["compare", "html=page.html", "output=page.html"], ["html=", "output=", "page.html"]),
        (["compare", "format=csv", "json=true"], ["format=csv", "json=true"]),
        (["evaluate", "-m", "split=val,test"], ["-m", "rnnscope train -m"]),
        (["runs", "rename", "run=latest", "name=a/b"], ["name='a/b'", "slashes"]),
        (["compare", "html=page.html", "format=csv"], ["format=csv", "html=", "output="]),
        (["gradcheck", "run=latest", "vocabulary_size=5"], ["vocabulary_size=5", "run="]),
        (["gradcheck", "run=latest", "model=gru"], ["model=gru", "run="]),
        (["gradcheck", "run=latest", "model.hidden_size=4"], ["model.hidden_size=4", "run="]),
        (["gradcheck", "max_minutes=nan"], ["max_minutes=nan", "above 0"]),
        (["gradcheck", "seed=-2"], ["seed=-2", "at least 0"]),
        (["evaluate", "samples=3", "temperatures=[0.5,0.5]"], ["temperatures=[0.5, 0.5]", "once"]),
        (["evaluate", "with="], ["with=", "empty"]),
        (["bench", "accelerator=tpu"], ["accelerator=tpu", "cpu"]),
    ],
    ids=lambda words: "-".join(words),
)
def test_keys_without_effect_are_refused(fails, words, parts):
    assert_says(fails(*words), *parts)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["temperature=0", "top_p=0.5"], ["top_p=0.5", "temperature=0"]),
        (["top_k=100000"], ["top_k=100000", "vocabulary"]),
    ],
)
def test_keys_of_sample_without_effect_are_said(trained_run, capsys, words, parts):
    assert main(["sample", f"run={trained_run.path}", "length=3", *words]) == 0
    line_with(capsys.readouterr().err, "no effect", *parts)


@pytest.mark.parametrize("word", ["temperature=-1", "minimum_length=4", "seed=-1", "prompt=\u00e9"])
def test_sample_says_nothing_before_its_error(trained_run, capsys, word):
    assert main(["sample", f"run={trained_run.path}", "length=3", word]) == 1
    error_line(capsys.readouterr().err)


@pytest.mark.parametrize("seconds", ["nan", "inf", "0"])
def test_a_bench_that_would_not_end(seconds, capsys):
    assert main(["bench", f"seconds={seconds}"]) == 1
    assert_says(error_line(capsys.readouterr().err), "seconds", float(seconds))
