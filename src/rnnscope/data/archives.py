"""Zip and tar files: the names of their members, and the bytes of each one."""

import lzma
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import IO

from rnnscope.data.compression import open_decompressed
from rnnscope.paths import TAR

COMPRESSED = {".tgz": ".gz", ".txz": ".xz", ".tbz": ".bz2", ".tbz2": ".bz2"}  # suffixes of tar files
FILE, HARD_LINK, LINK = "file", "hard link", "symbolic link"
# what Python's readers raise for files that are damaged; ValueError for sizes and names that cannot be
BROKEN = (OSError, EOFError, RuntimeError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)


def is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def is_tar(path: Path) -> bool:
    return re.search(rf"\.(?:{TAR})$", path.name, re.IGNORECASE) is not None


def hidden(member: str) -> bool:
    """Whether nobody put this member into the archive on purpose: a hidden file, or what macOS adds for each file."""
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in member.split("/"))


class Archive:
    """An open zip or tar file. A compressed tar file is unpacked into `folder`, since its members are read in any order."""

    def __init__(self, path: Path, folder: Path | None = None) -> None:
        self.path = path
        self._file = zipfile.ZipFile(path) if is_zip(path) else _open_tar(path, folder)
        self.close = self._file.close

    def members(self) -> list[tuple[str, str]]:
        """Return each member's name and kind: FILE, HARD_LINK (one more name of a file in a tar file) or LINK."""
        if isinstance(self._file, zipfile.ZipFile):
            files = [info for info in self._file.infolist() if not info.is_dir()]
            return [(info.filename, LINK if stat.S_ISLNK(info.external_attr >> 16) else FILE) for info in files]
        types = {tarfile.LNKTYPE: HARD_LINK, tarfile.SYMTYPE: LINK}
        found = [(info.name, FILE if info.isfile() else types.get(info.type, "")) for info in self._file]
        return [(name, kind) for name, kind in found if kind]

    def open(self, member: str) -> IO[bytes]:
        """Open a member; the last one, if several have this name.

        Raises:
            tarfile.TarError: for a hard link whose file is not in the archive.
        """
        if isinstance(self._file, zipfile.ZipFile):
            return self._file.open(member)
        with suppress(KeyError):
            if file := self._file.extractfile(member):
                return file
        raise tarfile.TarError("it is a hard link whose file is not in the archive")


def _open_tar(path: Path, folder: Path | None) -> tarfile.TarFile:
    suffix = COMPRESSED.get(path.suffix.lower(), path.suffix.lower())
    if suffix == ".tar":
        return tarfile.open(path, "r:")
    with tempfile.NamedTemporaryFile(dir=folder) as unpacked:
        with open_decompressed(path, suffix) as file:
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
