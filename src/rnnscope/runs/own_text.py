"""The text that a run was trained on: whether it is still there, and still the same."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from rnnscope.data.config import CorpusConfig
from rnnscope.errors import UserError
from rnnscope.runs.plain_values import is_mapping


@contextmanager
def finding(corpus: CorpusConfig, recorded: dict[str, Any]) -> Generator[None]:
    """Say of a text that cannot be read, and of which a fingerprint is recorded, how to tell where it lies now."""
    try:
        yield
    except UserError as error:
        if not recorded or corpus.path is None:
            raise
        raise UserError(f"{error}; if the run's text lies elsewhere now: data=...") from None


def check_data(found: dict[str, Any], recorded: dict[str, Any], corpus: CorpusConfig) -> None:
    """Refuse data whose tokens are not the ones recorded: file names and settings may differ, ids may not.

    Args:
        found, recorded: fingerprints of data; where `recorded` has that of the text alone, only the text may not differ.

    Raises:
        UserError: saying what changed.
    """
    text_alone = recorded.keys() == {"text"}
    deciding = ("text",) if text_alone else ("vocabulary", "streams")
    if not recorded or all(found[key] == recorded.get(key) for key in deciding):
        return
    parts = {"text": "the text itself", "settings": "how it is read (settings, or versions of libraries)"}
    changed = [what for key, what in parts.items() if key in recorded and found[key] != recorded[key]]
    old = recorded.get("streams", found["streams"])
    streams = ", ".join(name for name, digest in found["streams"].items() if not is_mapping(old) or digest != old.get(name))
    where = corpus.path or f"packages {', '.join(corpus.packages)}"
    raise UserError(
        f"the data changed since the run was trained: {' and '.join(changed) or 'the vocabulary'} of {where} differs"
        f"{f' ({streams} split)' if streams else ''}; put the text back, or say where it lies now: data=..."
        f"{'; text=... or dataset=... trains on a different one' if text_alone else ''}"
    )
