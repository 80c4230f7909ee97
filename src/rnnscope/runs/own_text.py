"""The text that a run was trained on: whether it is still there, and still the same."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from rnnscope.data.config import CorpusConfig
from rnnscope.errors import UserError
from rnnscope.runs.plain_values import is_mapping


@contextmanager
def finding(corpus: CorpusConfig, recorded: dict[str, Any]) -> Generator[None]:
    """Add to the error about a recorded text that cannot be read how to say where it is now."""
    try:
        yield
    except UserError as error:
        if not recorded or corpus.path is None:
            raise
        raise UserError(f"{error}; if the run's text has moved, give its new path: data=...") from None


def check_data(found: dict[str, Any], recorded: dict[str, Any], corpus: CorpusConfig) -> None:
    """Check that data have the recorded ids; file names and settings may differ.

    Args:
        found, recorded: fingerprints of data. If `recorded` has that of the text alone, only the text is compared.

    Raises:
        UserError: if they differ, saying in what.
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
        f"{f' ({streams} split)' if streams else ''}; put the text back, or give its new path: data=..."
        f"{'; text=... or dataset=... trains on a different one' if text_alone else ''}"
    )
