"""Text of any script, in and out, whatever the locale and wherever stdout goes."""

import io
import sys

import pytest
from conftest import TINY
from messages import assert_says, error_line, user_error

import rnnscope
from rnnscope.cli import main
from rnnscope.config.compose import compose_train

BROKEN = "a\udce9b"  # what argv holds of the bytes a, 0xE9, b


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def trained(tiny_run, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tiny_run.run.path.parents[2]))
    return str(tiny_run.run.path)


def written(monkeypatch: pytest.MonkeyPatch, stream: type[io.TextIOWrapper], encoding: str, *words: str) -> bytes:
    """Return the bytes that a command writes to a stdout of this encoding."""
    out = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream(out, encoding=encoding))
        assert main([*words]) == 0
        sys.stdout.flush()
        return out.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "shift_jis", "utf-16"])
def test_a_file_or_pipe_gets_utf_8(encoding, trained, story, tmp_path, monkeypatch):
    words = ["sample", "seed=1", "length=9", "prompt=日本語"]
    expected = rnnscope.load(trained).sample("日本語", 9, seed=1) + "\n"
    assert written(monkeypatch, io.TextIOWrapper, encoding, *words).decode("utf-8") == expected
    (text := tmp_path / "吾輩は猫.txt").write_bytes(story.read_bytes())
    assert "吾輩は猫.txt" in written(monkeypatch, io.TextIOWrapper, encoding, "evaluate", f"text={text}").decode("utf-8")


def test_a_terminal_gets_what_it_can_show(trained, monkeypatch):
    shown = written(monkeypatch, Terminal, "ascii", "sample", "seed=1", "length=0", "prompt=日本 %", "count=2")
    assert shown == b"?? %\n---\n?? %\n"


def test_with_a_closed_stdout_only_commands_that_do_more_than_print_work(trained, monkeypatch, capsys):
    for words, status in ((["sample", "seed=1", "length=3"], 1), (["runs", "mark", f"run={trained}", "note=a"], 0)):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", None)
            assert main(words) == status
            sys.stdout.close()
    assert_says(error_line(capsys.readouterr().err), "stdout is closed", "/dev/null")


@pytest.mark.parametrize("words", [["sample", "stop="], ["train", "text="], ["evaluate", "text="], ["compare", "filter="]])
def test_arguments_that_are_not_utf_8_are_refused_in_one_line(words, trained, capsys):
    command, key = words
    assert main([command, key + BROKEN, *(TINY if command == "train" else [])]) == 1
    assert_says(error_line(capsys.readouterr().err), key[:-1], 2, "0xE9", "UTF-8")


def test_python_is_held_to_the_same(trained):
    run = rnnscope.load(trained)
    for refused in (lambda: run.sample("\ud800", unknown="skip"), lambda: run.score("a\ud800")):
        with user_error("U+D800", "UTF-8"):
            refused()
    with user_error("monitor.sample_prompt", "0xE9"):
        compose_train([f"monitor.sample_prompt={BROKEN}"])


@pytest.mark.parametrize(("given", "parts"), [(b"ok\na\xe9", ["2", "0xE9", "iconv"]), (None, ["closed"])])
def test_stdin_is_utf_8_or_refused(given, parts, trained, capsys, monkeypatch):
    stream = None if given is None else io.TextIOWrapper(io.BytesIO(given), encoding="ascii")
    monkeypatch.setattr(sys, "stdin", stream)
    assert main(["sample", "prompt=-", "length=3", "seed=1"]) == 1
    assert_says(error_line(capsys.readouterr().err), "prompt=-", *parts)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("日本\r\n".encode()), encoding="ascii"))
    assert main(["sample", "prompt=-", "length=0", "seed=1"]) == 0
    assert capsys.readouterr().out == "日本\n\n"
