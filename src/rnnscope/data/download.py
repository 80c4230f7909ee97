"""Files with a URL: found under RNNSCOPE_DATA or in the cache, else downloaded once; always checked by their hash."""

import hashlib
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rnnscope.errors import UserError
from rnnscope.paths import names_something, under_data_folder


@dataclass(frozen=True)
class Remote:
    """The URL of a file and the hash it must have (an MD5 where no SHA-256 is published)."""

    url: str
    sha256: str | None = None
    md5: str | None = None

    @property
    def known_hash(self) -> str:
        if self.sha256:
            return f"sha256:{self.sha256}"
        if self.md5:
            return f"md5:{self.md5}"
        raise UserError(f"dataset.corpus.url={self.url} needs dataset.corpus.sha256, the hash that the file must have")

    def matches(self, path: Path) -> bool:
        """Whether the file at `path` has the right hash."""
        algorithm, wanted = self.known_hash.split(":")
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest() == wanted.lower()


def local_file(path: str, remote: Remote | None, cache_dir: Path, say: Callable[[str], None]) -> Path:
    """Return where `path` is on this machine.

    Without a `remote`, that is `path` itself if it exists, else the same path under RNNSCOPE_DATA. With one, `path` is only
    a file name: a file with the right hash under RNNSCOPE_DATA or in the cache, else a download.
    """
    if remote is not None and (Path(path).is_absolute() or ".." in Path(path).parts):
        raise UserError(f"{path}: the download of {remote.url} is kept in the cache: give a file name without a folder")
    provided = under_data_folder(path)
    if remote is None:
        place = Path(os.path.expanduser(path))
        return provided if provided and not names_something(place) else place
    if provided and remote.matches(provided):
        return provided
    if provided:
        say(f"warning: {provided} is ignored: its hash is not {remote.known_hash}")
    cached = cache_dir / "downloads" / path
    if cached.is_file() and remote.matches(cached):
        return cached
    return _download(remote, cached, say)


def _download(remote: Remote, place: Path, say: Callable[[str], None]) -> Path:
    import pooch
    import requests

    corrupt, known_hash = place.exists(), remote.known_hash
    say(f"downloading {remote.url} to {place}" + (" (the copy there is damaged)" if corrupt else ""))
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        pooch.retrieve(remote.url, known_hash, place.name, place.parent, progressbar=sys.stderr.isatty())
    except (requests.RequestException, OSError) as error:
        answer = getattr(error, "response", None)
        if answer is not None:
            answer.close()  # pooch leaves one that it refuses open
        copy = "the copy in the cache is damaged, and " if corrupt else ""
        raise UserError(
            f"{remote.url}: {copy}the download failed ({_reason(error)}): connect to a network, "
            f"put the file at {place}, or point RNNSCOPE_DATA at a folder with {place.name}"
        ) from None
    except ValueError as error:
        if "hash" not in str(error).lower():
            raise
        raise UserError(
            f"{remote.url}: the hash of the download is not {known_hash}: try again, or put the right file at {place}"
        ) from None
    return place


def _reason(error: Exception) -> str:
    """Return what went wrong in a few words; the messages of requests are dumps of its objects."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, requests.RequestException):
        return type(error).__name__
    return str(getattr(error, "strerror", None) or error)
