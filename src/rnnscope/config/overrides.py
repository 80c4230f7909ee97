"""Overrides as Hydra reads them: a person's text or path stays as typed, a map replaces the one in conf/.

Opened for every command line, `--help` too: it imports nothing heavy.
"""

import re
from collections.abc import Iterable

VERBATIM = {
    "train": {"text": "dataset.corpus.path", "init_from": "init_from", "monitor.sample_prompt": "monitor.sample_prompt"},
    "train_from": {"from": "parent", "data": "data"},
    "resume": {"run": "run", "data": "data", "text": "data"},
    "reproduce": {"run": "run", "data": "data", "text": "data"},
    "sample": {"run": "run", "prompt": "prompt", "stop": "stop"},
    "evaluate": {"run": "run", "data": "data", "text": "text"},
    "compare": {
        **{key: key for key in ("folder", "sort", "filter", "columns", "output", "html", "run")},
        "with": "other",
    },
    "bench": {},
}
SWEEP = ("-m", "--multirun")  # options that make a command line a sweep
MAPS = ("schedule.rates",)  # keys whose value is a map of its own keys


def protect(command: str, argument: str) -> str:
    """Return the Hydra override that sets a verbatim key to exactly the text after its first `=`; other words as they are."""
    key, equals, value = argument.partition("=")
    target = VERBATIM[command].get(key)
    return f"{target}={quote(value)}" if equals and target is not None else argument


def quote(text: str) -> str:
    """Return `text` as a quoted string of Hydra's grammar in which OmegaConf finds no `${...}` either."""
    from hydra.core.override_parser.types import Quote, QuotedString

    literal = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text)
    return QuotedString(text=literal, quote=Quote.single).with_quotes()


def replacing(overrides: Iterable[str]) -> list[str]:
    """Return the overrides such that a map replaces the one in conf/; Hydra would merge the keys of both, or refuse."""
    found: list[str] = []
    for override in overrides:
        key = override.partition("=")[0]
        found += [f"{key}=null", f"++{override}"] if key in MAPS else [override]
    return found


def verbatim_of(command: str) -> dict[str, str]:
    """Return the verbatim keys of all forms of a command, and what they set: `train from=` is one."""
    return VERBATIM[command] | VERBATIM.get(f"{command}_from", {})


def as_typed(message: str, arguments: list[str]) -> str:
    """Return `message` with the key of the text as it was typed: `text=` and `data=` stand for a longer one."""
    typed = next((argument.partition("=")[0] for argument in arguments if argument.startswith(("text=", "data="))), None)
    return message.replace(f"{VERBATIM['train']['text']}=", f"{typed}=") if typed else message
