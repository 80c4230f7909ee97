"""Writing files in one step, without replacing what is no file."""

import os
import threading
from pathlib import Path

from rnnscope.runs.files import replace_text


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text("utf-8")), daemon=True)
    reader.start()
    replace_text(pipe, "a page")
    reader.join(10)
    assert read == ["a page"]
    assert pipe.is_fifo()
