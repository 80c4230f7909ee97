"""Overrides as Hydra reads them: a text or path stays as it was typed, and a map replaces the one in conf/.

Every command line imports this module, even `--help`, so it imports nothing heavy.
"""

import os
import re
from collections.abc import Callable, Iterable
from decimal import Decimal

from rnnscope.errors import UserError

TEXT = "dataset.corpus.path"
PATHS = {"text": TEXT, **{key: key for key in (TEXT, "dataset.corpus.val_path", "dataset.corpus.test_path", "init_from")}}
MARKS = ("dataset.corpus.column", "dataset.corpus.delimiter", "dataset.corpus.escape")
SPECIAL = ("dataset.unk", "dataset.start", "dataset.end")
NAMES = ("name", *MARKS, "dataset.name", *SPECIAL)
FOLDERS = ("folder", "output", "html")  # paths of compare; `~` in other paths is expanded where they are used
VERBATIM = {
    "train": {**PATHS, **{key: key for key in (*NAMES, "monitor.sample_prompt", "notify")}},
    "train_from": {"from": "parent", "data": "data", "notify": "notify"},
    "resume": {"run": "run", "data": "data", "text": "data", "notify": "notify"},
    "reproduce": {"run": "run", "sweep": "of_sweep", "data": "data", "text": "data", "notify": "notify"},
    "sample": {"run": "run", "prompt": "prompt", "stop": "stop"},
    "evaluate": {"run": "run", "data": "data", "text": "text", "with": "others"},
    "compare": {
        **{key: key for key in ("folder", "sort", "filter", "columns", "group", "output", "html", "run")},
        "with": "other",
    },
    "visualize": {key: key for key in ("run", "text", "data", "unit", "output")},
    "gradcheck": {"run": "run"},
    "runs": {key: key for key in ("run", "filter", "folder", "tags", "note", "name", "older_than")},
    "export": {"run": "run", "output": "output"},
    "bench": {},
}
EXTENSIONS = ("callbacks", "logger", "callback_classes", "plugins", "notify")  # keys that a recorded config never has
CHANGING = ("train_from", "resume")  # commands whose other keys change a recorded config instead of a composed one
SWEEP = ("-m", "--multirun")  # options that make a command line a sweep
FOLDER = ("--config-dir", "-cd")  # a folder with the user's own config files, for train
TAKING = ("--cfg", "-c", "--package", "-p", "--info", "-i", *FOLDER)  # options whose value may be the next word
FOR_SWEEPS = ("hydra/sweeper=", "hydra/launcher=", "hydra.sweeper.", "hydra.launcher.")
HYDRAS_OWN = ("hydra.run.", "hydra.sweep.", "hydra.output_subdir", "hydra.job", "hydra/job_logging", "hydra/hydra_logging")
LISTS = ("plugins", "callback_classes")  # keys whose value is a list: a single name stands for a list of one
MAPS = ("schedule.rates",)  # keys whose value is a map of its own keys
CLEARED = ("stop", "notify", "data", "with", "unit", "filter", "columns", "group", "tags", "note", *FOLDERS)  # null by default
MAY_BE_NULL = {"dataset.corpus.val_path", "dataset.corpus.test_path", *MARKS, "name", "init_from", *CLEARED}
QUOTED_NULL = r"\1'null'"
WHOLE = re.compile(r"(?<![\w.+-])\d+(?:\.\d+)?[eE]\+?\d{1,2}(?![\w.])")  # a number that may be whole: 1e6, 2.5e3


def overrides_of(command: str, words: list[str]) -> list[str]:
    """Return the words as Hydra is to read them, so that each means what was typed."""
    refuse_the_same_twice(command, words)
    if command in CHANGING:
        words = collect_changes(command, words)
    overrides = [protect(command, word, is_sweep(words)) for word in words]
    return select_text_files(words, overrides) if command == "train" else overrides


def refuse_the_same_twice(command: str, words: list[str]) -> None:
    """Refuse two keys with the same meaning, such as `text=` and `data=` of `resume`: only the last would count.

    Raises:
        UserError: naming both.
    """
    typed: dict[str, str] = {}
    for key in (word.partition("=")[0] for word in words if "=" in word):
        if (before := typed.setdefault(VERBATIM[command].get(key, key), key)) != key:
            raise UserError(f"{before} and {key} mean the same: give one of them")


def is_sweep(words: Iterable[str]) -> bool:
    """Whether these words make a sweep: -m does, and so does `sweep=`, which names a predefined one."""
    return any(word in SWEEP or word.startswith("sweep=") for word in words)


def refuse_settings_of_sweeps(words: Iterable[str]) -> None:
    """Refuse settings that only a sweep has.

    Raises:
        UserError: naming the setting.
    """
    for word in words:
        if word.startswith(FOR_SWEEPS):
            raise UserError(f"{word} applies to sweeps only: add -m, or leave it out")


def check_word(word: str) -> None:
    """Refuse a word that is not `key=value`: Hydra's own message for it has many lines.

    Raises:
        UserError: saying how to write it.
    """
    key, equals, value = word.partition("=")
    if word[:1] in ("+", "~"):
        raise UserError(f"{word}: keys cannot be added or removed, only set; write {key.lstrip('+~')}={value or '...'}")
    if not equals:
        raise UserError(f"{word!r} is neither an option nor key=value; a text with spaces needs quotes: key='some words'")
    if not re.fullmatch(r"[\w./@$:-]+", key):
        raise UserError(f"{word}: {key!r} cannot be a key; write key=value")
    if key.startswith(HYDRAS_OWN):
        raise UserError(f"{word} has no effect: rnnscope makes its own folders and logs; set name= or RNNSCOPE_OUTPUTS")


def collect_changes(command: str, words: list[str]) -> list[str]:
    """Return the words with every `key=value` that is not a key of the command collected under its key `changes`."""
    own: list[str] = []
    changes: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if is_sweep([word]):
            raise UserError(f"{word}: a sweep cannot start from a run; leave {word} out")
        key = word.partition("=")[0]
        if word.startswith("-") or before in TAKING or key in VERBATIM[command] or key.split(".")[0] in ("hydra", *EXTENSIONS):
            own.append(word)
        else:
            changes.append(change(command, word))
    return [*own, f"changes=[{','.join(map(quote, changes))}]"] if changes else own


def change(command: str, word: str) -> str:
    """Return a word that changes a recorded config, written for Hydra's grammar."""
    key, equals, value = word.partition("=")
    if equals and key in VERBATIM["train"]:
        return f"{VERBATIM['train'][key]}={literal(key, value, in_quotes)}"
    return written_out(command, word)


def select_text_files(words: list[str], overrides: list[str]) -> list[str]:
    """Let `text=` select the dataset for the user's own files, unless a dataset is named.

    The named dataset then reads this text and nothing else: its packages, downloads and further files are cleared. A single
    path replaces the download that belongs to it, unless a URL is given too.
    """
    from rnnscope.config.places import ONE_TEXT, replaced_by

    keys = {word.partition("=")[0] for word in words}
    if "dataset" not in keys:
        return ["dataset=text_files", *overrides] if keys & {"text", TEXT} else overrides
    others = ONE_TEXT if "text" in keys else replaced_by(keys)
    return [*(f"dataset.corpus.{key}={'null' if value is None else value}" for key, value in others.items()), *overrides]


def protect(command: str, argument: str, sweeps: bool = False) -> str:
    """Return the Hydra override that sets a verbatim key to exactly the text after its first `=`.

    Whole numbers such as 1e6 are written out; other words stay as they are.

    Args:
        sweeps: whether commas separate paths, unless a path with that whole name exists.
    """
    key, equals, value = argument.partition("=")
    target = VERBATIM[command].get(key)
    if target is None or not equals:
        return written_out(command, argument)
    value = os.path.expanduser(value) if key in FOLDERS else value
    several = sweeps and key in PATHS and not os.path.lexists(os.path.expanduser(value))
    return f"{target}={','.join(literal(key, part, quote) for part in (value.split(',') if several else [value]))}"


def literal(key: str, value: str, put: Callable[[str], str]) -> str:
    """Return a text quoted by `put`; null, and a text that is quoted already, keep their meaning in Hydra."""
    if key in MAY_BE_NULL and value == "null":
        return value
    if key in SPECIAL and value == "null":
        raise UserError(f"{key}=null: a special token needs a text; set dataset.start_end=null to insert no START and END")
    quoted = re.fullmatch(r"'[^']*'|\"[^\"]*\"", value)
    return value if quoted and (key in NAMES or key in PATHS.values()) else put(value)


def written_out(command: str, word: str) -> str:
    """Return a word in which whole numbers such as 1e6, which Hydra reads as floats, are written out."""
    key, equals, value = word.partition("=")
    if not equals or not WHOLE.search(value):
        return word
    from rnnscope.config.schema import COMMANDS, TrainConfig, is_whole

    if not any(is_whole(kind, key) for kind in (COMMANDS[command], *([TrainConfig] if command in CHANGING else []))):
        return word
    return f"{key}={WHOLE.sub(lambda found: plain_number(found[0]), value)}"


def plain_number(text: str) -> str:
    """Return a number without an exponent if it is whole."""
    number = Decimal(text)
    return f"{number:.0f}" if number == number.to_integral_value() else text


def quote(text: str) -> str:
    """Return `text` as a quoted string of Hydra's grammar, in which OmegaConf resolves no `${...}` either."""
    return in_quotes(re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text))


def in_quotes(text: str) -> str:
    """Return `text` as a quoted string of Hydra's grammar, for words that OmegaConf does not see."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text=text, quote=Quote.single).with_quotes()


def replacing(overrides: Iterable[str]) -> list[str]:
    """Return the overrides with three additions to Hydra's grammar.

    A map replaces the one in conf/ (Hydra would merge their keys, or refuse); for keys whose value is a list, a single name
    is a list of one; and null is allowed in `choice(null,1)`, where Hydra wants it in quotes.
    """
    found: list[str] = []
    for override in overrides:
        key, _, value = override.partition("=")
        if key in LISTS and value and value[0] not in "['\"":
            override = f"{key}=[{value}]"
        if re.fullmatch(r"choice\([^()\[\]{}]*\)", value):
            override = f"{key}={re.sub(r'(?<=[(,])( *)null(?= *[,)])', QUOTED_NULL, value)}"
        found += [f"{key}=null", f"++{override}"] if key in MAPS else [override]
    return found


def verbatim_of(command: str) -> dict[str, str]:
    """Return the verbatim keys of a command, `train from=` included, and the keys that they set."""
    return VERBATIM[command] | VERBATIM.get(f"{command}_from", {})


def as_typed(message: str, arguments: list[str]) -> str:
    """Return `message` with the key of the text as it was typed: `text=` and `data=` are short for `dataset.corpus.path=`."""
    typed = next((argument.partition("=")[0] for argument in arguments if argument.startswith(("text=", "data="))), None)
    return message.replace(f"{TEXT}=", f"{typed}=") if typed else message
