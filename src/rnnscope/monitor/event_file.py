"""TensorBoard's event file: protocol buffers one after the other, each behind its length and followed by a checksum."""

import os
import socket
import struct
import time
from pathlib import Path

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]


class EventFile:
    """A new event file in `folder`; what is appended is there for TensorBoard to read at once.

    TensorBoard's own writer computes its checksums in Python, byte by byte, in a thread that takes the interpreter, and a
    core of two, from the training: about 1 % of the speed of two layers of 128 units.

    Args:
        folder: where the file goes; it is made if need be.
        first_step: TensorBoard drops what earlier files of the folder say from this step on.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"events.out.tfevents.{_stamp(folder)}.{socket.gethostname()}.{os.getpid()}"
        self._file = self.path.open("xb")
        self._append(Event(file_version="brain.Event:2"))
        self._append(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))

    def append(self, summary: "Summary", step: int = 0) -> None:
        """Write `summary` as an event of `step`."""
        self._append(Event(summary=summary, step=step))

    def _append(self, event: "Event") -> None:
        event.wall_time = time.time()
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        self._file.write(length + _checksum(length) + data + _checksum(data))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _stamp(folder: Path) -> str:
    """Return the time in seconds, later than in the name of any file there: TensorBoard reads them in the order of names."""
    stamps = [path.name.split(".")[3] for path in folder.glob("events.out.tfevents.*.*")]
    return f"{max([int(time.time()), *(int(stamp) + 1 for stamp in stamps if stamp.isdecimal())]):010d}"


def _checksum(data: bytes) -> bytes:
    """Return the masked CRC-32C of a TFRecord."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
