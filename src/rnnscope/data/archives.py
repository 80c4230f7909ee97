"""Zip and tar files: the names of their members, and the bytes of each one."""

import bz2
import gzip
import lzma
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, cast

OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".lzma": lzma.open, ".bz2": bz2.open}
COMPRESSED = {".tgz": ".gz", ".txz": ".xz", ".tbz": ".bz2", ".tbz2": ".bz2"}  # suffixes of tar files
TAR = r"tar|tar\.(?:gz|xz|lzma|bz2)|tgz|txz|tbz2?"
MEMBER = re.compile(rf"(.*?\.(?:zip|{TAR}))/(.+)", re.IGNORECASE | re.DOTALL)
BROKEN = (OSError, EOFError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)


def is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def is_tar(path: Path) -> bool:
    return re.search(rf"\.(?:{TAR})$", path.name, re.IGNORECASE) is not None


def hidden(member: str) -> bool:
    """Whether nobody put this member into the archive on purpose: a hidden file, or what macOS adds for each file."""
    return any((part.startswith(".") and part != ".") or part == "__MACOSX" for part in member.split("/"))


def open_file(path: Path) -> IO[bytes]:
    """Open a file, decompressed according to its suffix."""
    return cast("IO[bytes]", OPENERS.get(path.suffix.lower(), open)(path, "rb"))


class Archive:
    """An open zip or tar file. A compressed tar file is unpacked into `folder`, since its members are read in any order."""

    def __init__(self, path: Path, folder: Path | None = None) -> None:
        self.path = path
        self._file = zipfile.ZipFile(path) if is_zip(path) else _open_tar(path, folder)
        self.close = self._file.close

    def names(self, hard_links: bool = True) -> list[str]:
        """Return the members that are files, sorted; in a tar file, further names of a file are hard links."""
        if isinstance(self._file, zipfile.ZipFile):
            return sorted(info.filename for info in self._file.infolist() if not info.is_dir())
        return sorted({info.name for info in self._file if info.isfile() or (hard_links and info.islnk())})

    def open(self, member: str) -> IO[bytes]:
        """Open a member."""
        if isinstance(self._file, zipfile.ZipFile):
            return self._file.open(member)
        return cast("IO[bytes]", self._file.extractfile(member))


def _open_tar(path: Path, folder: Path | None) -> tarfile.TarFile:
    opener = OPENERS.get(COMPRESSED.get(path.suffix.lower(), path.suffix.lower()))
    if opener is None:
        return tarfile.open(path, "r:")
    with tempfile.NamedTemporaryFile(dir=folder) as unpacked:
        with cast("IO[bytes]", opener(path, "rb")) as file:
            shutil.copyfileobj(file, unpacked)
        unpacked.flush()
        return tarfile.open(unpacked.name, "r:")  # this keeps the file open after its name is gone


class Archives:
    """Opens archives that are read member by member; the last one stays open. `folder`: where tar files are unpacked."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._last: Archive | None = None

    def get(self, path: Path) -> Archive:
        """Return the archive at `path`, open until another one is asked for."""
        if self._last is None or self._last.path != path:
            self.close()
            self._last = Archive(path, self._folder)
        return self._last

    def close(self) -> None:
        if self._last:
            self._last.close()
        self._last = None
