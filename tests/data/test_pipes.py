import gzip
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import train
from messages import assert_says, error_line, line_with, user_error

from rnnscope.cli import main
from rnnscope.data.config import CorpusConfig, DatasetConfig
from rnnscope.data.module import TextData

TEXT = "what comes through a pipe\n" * 40


def prepared(folder: Path, path: str, **keys) -> TextData:
    config = DatasetConfig(corpus=CorpusConfig(path=path, **keys), batch_size=2, sequence_length=8)
    prepared.said = []
    return TextData.from_config(config, cache_dir=folder / "cache", say=prepared.said.append).prepare()


def decoded(data: TextData) -> str:
    return "".join(data.vocabulary.decode(data.stream(split)[1:]) for split in ("train", "val"))


def feed(path: Path, content: bytes) -> None:
    os.mkfifo(path)
    threading.Thread(target=path.write_bytes, args=[content], daemon=True).start()


def open_pipe(content: bytes) -> str:
    """The path of a pipe, as a shell makes it of <(command)."""
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    return f"/dev/fd/{reader}"


def test_a_fifo_and_a_pipe_are_read_once_and_kept(tmp_path):
    feed(tmp_path / "fifo", TEXT.encode())
    data = prepared(tmp_path, str(tmp_path / "fifo"))
    assert decoded(data) == TEXT
    copy = Path(data.config.corpus.path)
    assert copy.read_text() == TEXT
    line_with("\n".join(prepared.said), f"{len(TEXT):,}", "fifo", copy)
    assert decoded(prepared(tmp_path, str(copy))) == TEXT
    again = prepared(tmp_path, open_pipe(gzip.compress(TEXT.encode())))
    assert decoded(again) == TEXT
    assert again.config.corpus.path != data.config.corpus.path


def test_text_and_validation_text_through_pipes_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    data = prepared(tmp_path, "-", val_path=open_pipe(b"other text: pipe\n"))
    assert data.splits["train"].characters == len(TEXT)
    assert data.splits["val"].characters == 17


def test_a_pipe_that_brings_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with user_error("dataset.corpus.path=-", "standard input", "once", "file"):
        prepared(tmp_path, "-")
    assert list((tmp_path / "cache" / "piped").iterdir()) == []


def test_a_run_from_standard_input_goes_on_and_is_scored(outputs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    run = train("dataset=text_files", "dataset.corpus.path=-", "trainer.max_steps=4").run
    line_with(capsys.readouterr().out, f"{len(TEXT):,}", "standard input")
    assert main(["resume", f"run={run.path}", "trainer.max_steps=6"]) == 0
    capsys.readouterr()
    words = [sys.executable, "-m", "rnnscope", "evaluate", f"run={run.path}", "text=-"]
    scored = subprocess.run(words, input="a pipe", capture_output=True, text=True, check=True)
    line_with(scored.stdout, "scored", "6 tokens")
    assert "standard input" in scored.stderr
    for copy in (outputs / "cache" / "piped").iterdir():
        copy.unlink()
    assert main(["resume", f"run={run.path}", "trainer.max_steps=8"]) == 1
    assert_says(error_line(capsys.readouterr().err), "dataset.corpus.path", "pipe", "data=...")


def test_a_terminal_is_not_waited_for(tmp_path, monkeypatch):
    terminal, other = os.openpty()
    with os.fdopen(other) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with user_error("dataset.corpus.path=-", "terminal"):
            prepared(tmp_path, "-")
    os.close(terminal)


@pytest.mark.parametrize("path", ["/dev/null", "/dev/fd/999"])
def test_what_cannot_be_read(tmp_path, path):
    with user_error(path):
        prepared(tmp_path, path)


def test_a_closed_standard_input(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with user_error("dataset.corpus.path=-", "closed"):
        prepared(tmp_path, "-")
