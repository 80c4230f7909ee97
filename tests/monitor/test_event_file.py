"""The event file, against TensorBoard's own checksums and the order in which it reads files."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from rnnscope.monitor import event_file as module
from rnnscope.monitor.event_file import EventFile


def records(contents: bytes) -> list[bytes]:
    """Take a file of records apart: each is a length, its checksum, the data and their checksum."""
    found = []
    while contents:
        length = int.from_bytes(contents[:8], "little")
        data = contents[12 : 12 + length]
        assert contents[8:12] == masked_crc32c(contents[:8]).to_bytes(4, "little")
        assert contents[12 + length : 16 + length] == masked_crc32c(data).to_bytes(4, "little")
        found.append(data)
        contents = contents[16 + length :]
    return found


def test_what_is_appended_can_be_read_before_the_file_is_closed(tmp_path: Path) -> None:
    file = EventFile(tmp_path, 3)
    file.append(Summary(value=[Summary.Value(tag="a", simple_value=0.5)]), 7)
    assert len(records(file.path.read_bytes())) == 3
    read = list(EventFileLoader(str(file.path)).Load())
    assert [event.step for event in read] == [0, 3, 7]
    assert read[2].summary.value[0].tag == "a"
    file.close()


@pytest.mark.parametrize("now", [1000.7, 1.0])  # in the same second, and with a clock that was set back
def test_a_later_file_comes_later_in_the_order_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    clock = iter([1000.2])
    monkeypatch.setattr(module.time, "time", lambda: next(clock, now))
    monkeypatch.setattr(module.os, "getpid", lambda: 99)
    first = EventFile(tmp_path, 0)
    monkeypatch.setattr(module.os, "getpid", lambda: 11)
    second = EventFile(tmp_path, 4)
    assert sorted(tmp_path.iterdir()) == [first.path, second.path]
    first.close()
    second.close()
