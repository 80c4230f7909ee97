"""Which files a text is made of, in which order, and a fingerprint of what is in them."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import importlib.util
import os
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from rnnscope.data.config import CorpusConfig
from rnnscope.data.download import Remote, local_file
from rnnscope.data.sources import Source, documents, file_digest, members
from rnnscope.errors import UserError

SPLITS = ("train", "val", "test")


class Corpus:
    """The files of a text. `cache_dir` keeps downloads; `changes` counts what is left out or unusual.

    `find()` returns the sources of each split that has its own files; the rest are under 'train', to be divided.
    """

    def __init__(self, config: CorpusConfig, cache_dir: Path, say: Callable[[str], None]) -> None:
        self.config, self.changes = config, Counter[str]()
        self._cache_dir, self._say = cache_dir, say

    def find(self) -> dict[str, list[Source]]:
        """The sources of each split, in reading order. Errors: `UserError` where nothing is found."""
        found = {
            "train": self._packages()
            if self.config.packages
            else self._files("path", self.config.path, self._remote("", self.config.md5))
        }
        for split in ("val", "test"):
            path = getattr(self.config, f"{split}_path")
            if path is not None:
                found[split] = self._files(f"{split}_path", path, self._remote(f"{split}_", None))
        return found

    @property
    def divided(self) -> bool:
        """Whether val and test come out of the same files as train."""
        return self.config.val_path is None and self.config.test_path is None

    def documents(self, source: Source, encoding: str) -> Iterator[Iterator[str]]:
        """The documents of one source: see `rnnscope.data.sources.documents`."""
        return documents(source, encoding, self.config.column, self.config.lines, self.changes)

    def _remote(self, prefix: str, md5: str | None) -> Remote | None:
        url = getattr(self.config, f"{prefix}url")
        return Remote(url, getattr(self.config, f"{prefix}sha256"), md5) if url else None

    def _files(self, key: str, path: str | None, remote: Remote | None) -> list[Source]:
        key = f"dataset.corpus.{key}"
        if not path:
            raise UserError(f"{key} is not set: give a file, a folder or a glob (rnnscope train text=PATH)")
        path, member = _archive_and_member(path)
        root = local_file(path, remote, self._cache_dir, self._say)
        if root.is_file():
            found = members(root, root.name)
            itself = [source for source in found if source.member is None]  # a file that is named is always taken
            return itself or self._selected(found, member, f"{key}={root}")
        files = self._walk(root) if root.is_dir() else _globbed(path)
        if not files and not root.is_dir():
            raise UserError(f"{key}={path}: {_missing(root)}: give an existing file, folder or glob")
        return self._selected([source for file, name in files for source in members(file, name)], None, f"{key}={root}")

    def _packages(self) -> list[Source]:
        sources = []
        for package in self.config.packages:
            root = package_path(package)
            found = self._walk(root) if root.is_dir() else [(root, root.name)]
            chosen = [
                Source(file, name)
                for file, name in found
                if _chosen(name, self.config.include or ["*.py"], self.config.exclude)
            ]
            if not chosen:
                raise UserError(
                    f"dataset.corpus.packages: no file of {package} ({root}) matches: change dataset.corpus.include or exclude"
                )
            sources += [Source(source.path, f"{package}/{source.name}") for source in chosen]
        return self._ordered(sources)

    def _walk(self, root: Path) -> list[tuple[Path, str]]:
        """The files under a folder with their relative names, hidden ones left out. Links that lead nowhere are counted."""
        found = []
        for folder, folders, files in os.walk(root, onerror=_refuse):
            self.changes["links to folders not followed"] += sum(os.path.islink(os.path.join(folder, f)) for f in folders)
            folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
            for name in files:
                path = Path(folder, name)
                if not name.startswith(".") and path.is_file():
                    found.append((path, path.relative_to(root).as_posix()))
                elif not name.startswith(".") and path.is_symlink():
                    self.changes["dangling links left out"] += 1
        return found

    def _selected(self, sources: list[Source], member: str | None, where: str) -> list[Source]:
        """The sources that include and exclude let through, in order."""
        include = [f"*/{member}"] if member else self.config.include or ["*"]
        sources = [source for source in sources if _chosen(source.name, include, self.config.exclude)]
        if not sources:
            raise UserError(
                f"{where}: no file in it matches: include={include} exclude={self.config.exclude}"
                " (hidden files are never taken): change dataset.corpus.include or exclude"
            )
        return self._ordered(sources)

    def _ordered(self, sources: list[Source]) -> list[Source]:
        if self.config.shuffle:
            return sorted(sources, key=lambda source: hashlib.sha256(source.name.encode()).digest())
        return sorted(sources, key=lambda source: source.name)


def package_path(name: str) -> Path:
    """The folder or the one file of an installed package, not imported; 'stdlib' is Python's own library."""
    if name == "stdlib":
        return Path(sysconfig.get_path("stdlib"))
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None:
        raise UserError(
            f"dataset.corpus.packages: no package {name!r} is installed: install it or name a different one, such as stdlib"
        )
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    if not spec.origin or not spec.origin.endswith(".py"):
        raise UserError(f"dataset.corpus.packages: {name!r} has no Python source: name a different one, such as stdlib")
    return Path(spec.origin)


def content_digest(found: dict[str, list[Source]]) -> str:
    """A sha256 of the content of the files, in order, by split. Names and dates do not count."""
    digest = hashlib.sha256()
    for split, sources in found.items():
        digest.update(f"{split} {len(sources)}\n".encode())
        known: dict[Path, str] = {}
        for source in sources:
            known[source.path] = known.get(source.path) or file_digest(source.path)
            digest.update(f"{known[source.path]} {source.member}\n".encode())
    return digest.hexdigest()


def _chosen(name: str, include: list[str], exclude: list[str]) -> bool:
    def matches(pattern: str) -> bool:
        return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.rsplit("/", 1)[-1], pattern)

    return any(map(matches, include)) and not any(map(matches, exclude))


def _archive_and_member(path: str) -> tuple[str, str | None]:
    """`texts.zip/inner/*.txt` is a zip file and a pattern for its members; anything else is a plain path."""
    archive, mark, member = path.partition(".zip/")
    return (f"{archive}.zip", member) if mark and not os.path.lexists(path) else (path, None)


def _globbed(pattern: str) -> list[tuple[Path, str]]:
    pattern = os.path.expanduser(pattern)
    names = glob.glob(pattern, recursive=True) or glob.glob(pattern.replace("[", "[[]"), recursive=True)  # [ as part of a name
    return [(Path(name), name) for name in names if os.path.isfile(name)]


def _missing(path: Path) -> str:
    if path.is_symlink():
        return "a link to something that is not there"
    return "no such file or folder"


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be read ({error.strerror}): change its permissions or exclude it") from None
