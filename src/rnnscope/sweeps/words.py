"""Words of a command line, written so that Hydra takes them for what was meant."""

from collections.abc import Iterable

from hydra.core.override_parser.types import Quote, QuotedString

MAPS = ("schedule.rates",)  # keys whose value is a map of its own keys


def replacing(words: Iterable[str]) -> list[str]:
    """Return the words such that a map given replaces the one in conf/; Hydra would keep the keys of both, or refuse."""
    found: list[str] = []
    for word in words:
        key = word.partition("=")[0]
        found += [f"{key}=null", f"++{word}"] if key in MAPS else [word]
    return found


def quoted(text: str) -> str:
    """Return `text` as a string of Hydra's grammar."""
    return QuotedString(text=text.replace("${", "\\${"), quote=Quote.single).with_quotes()
