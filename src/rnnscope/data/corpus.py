"""Which files make up a text, in which order, and a hash of their content."""

import fnmatch
import glob
import hashlib
import importlib.util
import os
import re
import sysconfig
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rnnscope.data.cache import cached_file
from rnnscope.data.compression import SUFFIXES
from rnnscope.data.config import CorpusConfig
from rnnscope.data.copy_task import copy_task_file
from rnnscope.data.download import Remote, local_file
from rnnscope.data.pipes import PIPED
from rnnscope.data.sources import Source, file_digest, members
from rnnscope.errors import UserError
from rnnscope.paths import MEMBER

SPLITS = ("train", "val", "test")


class Corpus:
    """The files of a text. `cache_dir` keeps downloads; `changes` counts what is left out or unusual."""

    def __init__(self, config: CorpusConfig, cache_dir: Path, say: Callable[[str], None]) -> None:
        self.config, self.changes = config, Counter[str]()
        self._cache_dir, self._say = cache_dir, say

    def find(self) -> dict[str, list[Source]]:
        """Return the sources of each split, in reading order; those under `train` are divided unless others have their own.

        Raises `UserError` if nothing is found.
        """
        own = [split for split in ("val", "test") if getattr(self.config, f"{split}_path") is not None]
        return {"train": self._train(), **{split: self._files(f"{split}_") for split in own}}

    def _train(self) -> list[Source]:
        if self.config.copy_lag is not None:
            made = copy_task_file(self.config, self._cache_dir)
            return [Source(made, made.name)]
        if self.config.inline:
            return self._inline()
        return self._packages() if self.config.packages else self._files("")

    @property
    def divided(self) -> bool:
        """Whether val and test are cut from the same files as train."""
        return self.config.val_path is None and self.config.test_path is None

    def _files(self, prefix: str) -> list[Source]:
        """Return the sources that the keys `<prefix>path`, `<prefix>url` and `<prefix>sha256` name."""
        key, config = f"dataset.corpus.{prefix}path", self.config
        path, url, sha256 = (getattr(config, prefix + name) for name in ("path", "url", "sha256"))
        if not path:
            raise UserError(f"{key} is not set: give a file, a folder or a glob (rnnscope train text=PATH)")
        path, member = _archive_and_member(path)
        remote = Remote(url, sha256, None if prefix else config.md5) if url else None
        root, include = local_file(path, remote, self._cache_dir, self._say), config.include or ["*"]
        if root.is_file():
            found = self._members(root, root.name)
            itself = [source for source in found if source.member is None]  # a file that is named is always taken
            if member and not itself:
                found, include = _members_called(member, found)
            return itself or self._selected(found, include, f"{key}={root}")
        files = self._walk(root) if root.is_dir() else _globbed(str(root))
        if not files and not root.is_dir():
            absent = "no file matches" if glob.has_magic(path) else "no such file or folder"
            missing = "a broken link" if root.is_symlink() else "neither a file nor a folder" if root.exists() else absent
            if root.parent.name == PIPED:
                missing += "; it was the copy of a text read from a pipe"
            remedy = f"get it from {config.available_at}, or " if config.available_at and not prefix else ""
            raise UserError(f"{key}={path}: {missing}: {remedy}give an existing file, folder or glob")
        if config.reader_version > 5:  # before an archive is opened, which may be damaged
            files = [(file, name) for file, name in files if not self._matches(name, config.exclude)]
        found = [source for file, name in files for source in self._members(file, name)]
        if member and config.reader_version > 5:
            found, include = _members_called(member, found)
        return self._selected(found, include, f"{key}={root}", fixed_part(str(root)))

    def _inline(self) -> list[Source]:
        """Return the text in the config itself, as a file in the cache that is named after its hash."""
        content = (self.config.inline or "").encode("utf-8", "surrogatepass")
        path = self._cache_dir / "inline" / f"{hashlib.sha256(content).hexdigest()[:32]}.txt"
        return [Source(cached_file(path, content), "inline")]

    def _members(self, path: Path, name: str) -> list[Source]:
        return members(path, name, self.config.reader_version, self.changes)

    def _packages(self) -> list[Source]:
        sources = []
        for package in self.config.packages:
            root = package_path(package)
            found = [Source(*file) for file in (self._walk(root) if root.is_dir() else [(root, root.name)])]
            chosen = self._selected(found, self.config.include or ["*.py"], f"dataset.corpus.packages={package} ({root})")
            sources += [replace(source, name=f"{package}/{source.name}") for source in chosen]
        return self._ordered(sources)

    def _walk(self, root: Path) -> list[tuple[Path, str]]:
        """Return the files under a folder with their relative names. Hidden files are left out; broken links are counted."""
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

    def _selected(self, sources: list[Source], include: list[str], where: str, root: str = "") -> list[Source]:
        """Return the sources that match `include` but not `exclude`, in order; names may begin with `root`, which can move."""
        if not sources:
            raise UserError(f"{where}: no file in it, apart from hidden files and links: give a different text")
        sources = [source for source in sources if self._chosen(source.name, include)]
        if not sources:
            raise UserError(
                f"{where}: no file in it matches include={include} exclude={self.config.exclude}"
                " (hidden files are never read): change dataset.corpus.include or exclude"
            )
        return self._ordered(sources, root)

    def _chosen(self, name: str, include: list[str]) -> bool:
        """Whether a file's relative name matches one of `include` and none of `exclude`."""
        return self._matches(name, include) and not self._matches(name, self.config.exclude)

    def _matches(self, name: str, patterns: list[str]) -> bool:
        """Whether a file's relative name, or its last part, matches one of the patterns.

        Of an absolute name, which comes from a glob, any number of last parts may match: src/*.c was typed in some folder.
        """
        parts = name.split("/")
        tails = ["/".join(parts[at:]) for at in range(len(parts))] if name.startswith("/") else [name, parts[-1]]
        return any(fnmatch.fnmatchcase(tail, pattern) for tail in tails for pattern in patterns)

    def _ordered(self, sources: list[Source], root: str = "") -> list[Source]:
        if self.config.shuffle:
            moving = root if self.config.reader_version > 2 else ""
            return sorted(sources, key=lambda source: hashlib.sha256(_bytes(source.name.removeprefix(moving))).hexdigest())
        return sorted(sources, key=lambda source: source.name)


def package_path(name: str) -> Path:
    """Return the folder or the single file of an installed package without importing it; `stdlib` is Python's own library."""
    if name == "stdlib":
        return Path(sysconfig.get_path("stdlib"))
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None:
        raise UserError(
            f"dataset.corpus.packages: package {name!r} is not installed: install it, or name a different one, such as stdlib"
        )
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    if not spec.origin or not spec.origin.endswith(".py"):
        raise UserError(f"dataset.corpus.packages: {name!r} has no Python source: name a different one, such as stdlib")
    return Path(spec.origin)


def content_digest(found: dict[str, list[Source]]) -> str:
    """Return a SHA-256 of the content of the files, in order, by split. Names and dates do not count."""
    digest = hashlib.sha256()
    for split, sources in found.items():
        digest.update(f"{split} {len(sources)}\n".encode())
        known: dict[Path, str] = {}
        for source in sources:
            known[source.path] = known.get(source.path) or file_digest(source.path)
            digest.update(_bytes(f"{known[source.path]} {source.member}\n"))
    return digest.hexdigest()


def packed(found: dict[str, list[Source]]) -> list[str]:
    """Return the suffix by which each file is decompressed, if any is: with another one, the same bytes are another text."""
    suffixes = [source.path.suffix.lower() for sources in found.values() for source in sources if source.member is None]
    return [suffix if suffix in SUFFIXES else "" for suffix in suffixes] if set(suffixes) & set(SUFFIXES) else []


def _bytes(name: str) -> bytes:
    """Return the bytes of a file's name, which need not be UTF-8."""
    return name.encode("utf-8", "surrogateescape")


def _members_called(member: str, found: list[Source]) -> tuple[list[Source], list[str]]:
    """Return the members of this name, or all and the pattern that it is, with the value of `include` that selects them."""
    exact = [source for source in found if source.member == member]
    return exact or found, [f"*/{glob.escape(member) if exact else member}"]


def _archive_and_member(path: str) -> tuple[str, str | None]:
    """Split `texts.zip/inner/*.txt` into an archive and a pattern for its members; anything else is a plain path."""
    found = None if os.path.lexists(path) else MEMBER.fullmatch(path)
    return (found[1], found[2]) if found else (path, None)


def fixed_part(pattern: str) -> str:
    """Return the folder that all matches of a glob share, with a slash at its end."""
    return re.split(r"[^/]*[*?\[]", os.path.expanduser(pattern))[0]


def _globbed(pattern: str) -> list[tuple[Path, str]]:
    pattern = os.path.expanduser(pattern)
    names = glob.glob(pattern, recursive=True) or glob.glob(pattern.replace("[", "[[]"), recursive=True)  # a name may have a [
    return [(Path(name), name) for name in names if os.path.isfile(name)]


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be read ({error.strerror}): change its permissions or exclude it") from None
