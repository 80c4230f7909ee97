"""The paths of the text in a config: recorded as absolute paths, and changed when the text has moved."""

import os
import re
from pathlib import Path
from typing import Any

from rnnscope.data.config import CorpusConfig, DatasetConfig
from rnnscope.errors import UserError
from rnnscope.format import one_line
from rnnscope.paths import absolute_path
from rnnscope.runs.segments import with_value

PLACES = {"path": "url", "val_path": "val_url", "test_path": "test_url"}  # of dataset.corpus; with a URL, a path is a name
NOT_FROM_FILES: dict[str, Any] = {"packages": [], "copy_lag": None, "inline": None}  # keys for texts that are in no file
ONE_TEXT: dict[str, Any] = {  # what another path clears in dataset.corpus: all other keys that say what the text is
    **NOT_FROM_FILES,
    **dict.fromkeys(("available_at", "val_path", "test_path", "url", "sha256", "md5")),
    **dict.fromkeys(("val_url", "val_sha256", "test_url", "test_sha256")),
}
HASHES = {"url": ("sha256", "md5"), "val_url": ("val_sha256",), "test_url": ("test_sha256",)}
OWN = "text_files"  # the dataset for the user's own text
NAME_LIMIT = 120  # bytes; the name of a folder may have 255, and that of the run is longer
SAME_FILES = ("column", "lines", "separator")  # keys of dataset.corpus that do not decide which files are read


def with_absolute_places(config: dict[str, Any]) -> dict[str, Any]:
    """Return the nested values of a config with absolute paths of texts.

    Raises:
        UserError: for a URL in the place of a path.
    """
    corpus = config["dataset"]["corpus"]
    for key, url in PLACES.items():
        if corpus[key] is not None and corpus[url] is None:
            if re.match(r"\w+://", corpus[key]):
                both = f"dataset.corpus.{url}=... and the name of a file as dataset.corpus.{key}"
                raise UserError(f"dataset.corpus.{key}={corpus[key]} is a URL, not a path: download it, or set {both}")
            config = with_value(config, f"dataset.corpus.{key}", absolute_path(corpus[key]))
    return config


def replaced_by(keys: set[str]) -> dict[str, Any]:
    """Return the keys of dataset.corpus that paths among the dotted `keys` clear: URLs with their hashes, texts in no file."""
    found: dict[str, Any] = {}
    for path, url in PLACES.items():
        if f"dataset.corpus.{path}" in keys and f"dataset.corpus.{url}" not in keys:
            found |= dict.fromkeys((url, *HASHES[url])) | (NOT_FROM_FILES if path == "path" else {})
    return {key: value for key, value in found.items() if f"dataset.corpus.{key}" not in keys}


def is_place(key: str) -> bool:
    """Whether a dotted key is the path of a text."""
    return key.startswith("dataset.corpus.") and key.rpartition(".")[2] in PLACES


def says_where(key: str) -> bool:
    """Whether a dotted key is the path or the URL of a text."""
    return key.startswith("dataset.corpus.") and key.rpartition(".")[2] in (*PLACES, *PLACES.values())


def comparable(key: str, value: Any) -> Any:
    """Return a recorded value as it would be recorded today: older versions kept the path of a text as it was typed."""
    return absolute_path(value) if is_place(key) and isinstance(value, str) else value


def is_text(key: str) -> bool:
    """Whether a dotted key decides which text is read."""
    group, _, name = key.rpartition(".")
    return key == "dataset" or (group == "dataset.corpus" and name not in SAME_FILES)


def text_name(dataset: DatasetConfig) -> str:
    """Return the name of a text: for the user's own, that of its file, folder or archive; for others, that of the dataset."""
    if dataset.name != OWN or not dataset.corpus.path:
        return dataset.name
    path = re.split(r"(?<=\.zip)/|/[^/]*[*?\[]", dataset.corpus.path)[0].rstrip("/")  # without members and patterns
    name = one_line(path.rpartition("/")[2]).lstrip(".")
    if not os.path.isdir(path):
        name = re.sub(r"(\.[A-Za-z]\w{0,7})?(\.(gz|xz|lzma|bz2|zip))?$", "", name)
    return name.encode()[:NAME_LIMIT].decode(errors="ignore") or OWN


def moved_to(corpus: CorpusConfig, data: str | None) -> dict[str, Any]:
    """Return the dotted keys of a text that is now at `data`, with its val and test files if they are beside it.

    Raises:
        UserError: for a text that is not read from files.
    """
    if data is None:
        return {}
    if not data:
        raise UserError("data= is empty: give the path of the text, or leave it out")
    if corpus.copy_lag is not None:
        raise UserError(
            f"data={data}: this run's text was generated (dataset.corpus.copy_lag={corpus.copy_lag}), not read from a file"
        )
    if corpus.packages:
        raise UserError(f"data={data}: this run was trained on packages ({', '.join(corpus.packages)}), not on a file")
    if corpus.inline:
        raise UserError(f"data={data}: this run was trained on a text in its config, not on a file")
    path = Path(absolute_path(data))
    moved: dict[str, Any] = {"path": str(path), "url": None}
    for key in ("val_path", "test_path"):
        before = getattr(corpus, key)
        if before is not None and (beside := path.with_name(Path(before).name)).exists():
            moved |= {key: str(beside), PLACES[key]: None}
    return {f"dataset.corpus.{key}": value for key, value in moved.items()}
