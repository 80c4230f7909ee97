"""TensorBoard's event file: a sequence of protocol buffers, each preceded by its length and followed by a checksum."""

import os
import socket
import struct
import time
from pathlib import Path

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]


class EventFile:
    """A new event file in `folder`; TensorBoard can read each event as soon as it is appended.

    TensorBoard's own writer computes its checksums in Python, byte by byte, in a thread that competes with the training for
    the interpreter and the cores: about 1 % of the speed with two layers of 128 units.

    Args:
        folder: created if need be.
        first_step: from this step on, TensorBoard drops the events in earlier files of the folder.
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
    """Return the time in seconds, later than in the name of any file in the folder: TensorBoard reads files by name."""
    stamps = [path.name.split(".")[3] for path in folder.glob("events.out.tfevents.*.*")]
    return f"{max([int(time.time()), *(int(stamp) + 1 for stamp in stamps if stamp.isdecimal())]):010d}"


def _checksum(data: bytes) -> bytes:
    """Return the masked CRC-32C of a TFRecord."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
