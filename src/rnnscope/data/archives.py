"""Zip and tar files: the names of their members, and the bytes of each."""

import bz2
import gzip
import lzma
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Self, cast

OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".lzma": lzma.open, ".bz2": bz2.open}
COMPRESSED = {".tgz": ".gz", ".txz": ".xz", ".tbz": ".bz2", ".tbz2": ".bz2"}  # suffixes of tar files
TAR = re.compile(r"\.(?:tar|tar\.(?:gz|xz|lzma|bz2)|tgz|txz|tbz2?)$", re.IGNORECASE)
MEMBER = re.compile(r"(.*?\.(?:zip|tar|tar\.(?:gz|xz|lzma|bz2)|tgz|txz|tbz2?))/(.+)", re.IGNORECASE | re.DOTALL)
BROKEN = (
    *(OSError, EOFError, RuntimeError, NotImplementedError, zlib.error, lzma.LZMAError),
    *(zipfile.BadZipFile, tarfile.TarError),
)


def is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def is_tar(path: Path) -> bool:
    return TAR.search(path.name) is not None


def hidden(member: str) -> bool:
    """Whether a member is what no one put into an archive on purpose: a hidden file, or what macOS adds for each file."""
    return any((part.startswith(".") and part != ".") or part == "__MACOSX" for part in member.split("/"))


def open_file(path: Path) -> IO[bytes]:
    """A file, decompressed as its suffix says."""
    return cast("IO[bytes]", OPENERS.get(path.suffix.lower(), open)(path, "rb"))


class Archive:
    """A zip or tar file that is open. A compressed tar file is unpacked into `folder`, as its members come in any order."""

    def __init__(self, path: Path, folder: Path | None = None) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        with ExitStack() as stack:
            if is_zip(path):
                self._zip = stack.enter_context(zipfile.ZipFile(path))
            else:
                self._tar = stack.enter_context(tarfile.open(fileobj=_unpacked(path, folder, stack), mode="r:"))
            self._open = stack.pop_all()

    def names(self) -> list[str]:
        """The members that are files, sorted."""
        if self._zip:
            return sorted(info.filename for info in self._zip.infolist() if not info.is_dir())
        return sorted({info.name for info in self._tar if info.isfile()})

    def open(self, member: str) -> IO[bytes]:
        """The bytes of a member."""
        if self._zip:
            return self._zip.open(member)
        return cast("IO[bytes]", self._tar.extractfile(member))

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _unpacked(path: Path, folder: Path | None, stack: ExitStack) -> IO[bytes]:
    """A tar file without compression, open until `stack` is closed."""
    opener = OPENERS.get(COMPRESSED.get(path.suffix.lower(), path.suffix.lower()))
    if opener is None:
        return stack.enter_context(path.open("rb"))
    unpacked = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115
    with cast("IO[bytes]", opener(path, "rb")) as file:
        shutil.copyfileobj(file, unpacked)
    unpacked.seek(0)
    return unpacked


class Archives:
    """Archives that are read member by member: the last one stays open. `folder`: for what is unpacked."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._last: Archive | None = None

    def get(self, path: Path) -> Archive:
        """The archive at `path`, open until a different one is asked for."""
        if self._last is None or self._last.path != path:
            self.close()
            self._last = Archive(path, self._folder)
        return self._last

    def close(self) -> None:
        if self._last:
            self._last.close()
        self._last = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
