"""Turns the errors of Hydra and OmegaConf, which have several lines, into one that names the key and suggests the right one."""

import errno
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from rnnscope.config import schema
from rnnscope.config.overrides import verbatim_of
from rnnscope.errors import MORE_FILES, NO_FILES, NO_SPACE, UserError, lack_of_memory, reason
from rnnscope.paths import conf_folder, outputs_folder

PACKAGES = {  # choices that need a package -> the extra that installs it
    "hydra/launcher=joblib": "sweep",
    "hydra/launcher=submitit_slurm": "slurm",
    "hydra/launcher=submitit_local": "slurm",
}
DEPTH_OF_RUNS = 3  # of run folders in the outputs folder: runs/<name>/<time>
SWEPT = "a sweep takes 1,2 or range(1,5) or choice(a,b) or interval(0,1)"
ROOTS = schema.COMMANDS | {"train_from": schema.TrainConfig}


def advice(error: Exception, command: str) -> str | None:
    """Return the line that tells the user what to do about an error; None for a bug in rnnscope."""
    if isinstance(error, (UserError, HydraException, OmegaConfBaseException, YAMLError)):
        return one_line(error, command)
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        place = error.filename or outputs_folder()
        if error.errno == errno.EFBIG:
            return f"{place}: {error.strerror}; raise the limit on the size of a file (ulimit -f)"
        return f"no space at {place} ({error.strerror}); make room, or set RNNSCOPE_OUTPUTS to a different place"
    if isinstance(error, OSError) and error.errno in NO_FILES:
        return f"{error.filename or 'a file'}: {reason(error)}; {MORE_FILES}"
    if lack := lack_of_memory(error):
        return f"out of {lack}; use a smaller model or text, or {'the CPU' if lack[0] == 'G' else 'a larger machine'}"
    if isinstance(error, OSError) and "No usable temporary directory" in str(error):
        return "no folder for temporary files can be written: set TMPDIR to one that can"
    if isinstance(error, OSError) and error.filename:  # a file that cannot be read or written is not a bug
        return one_line(error, command)
    return None


def one_line(error: BaseException, command: str) -> str:
    """Return what went wrong, in one line: the key or file, what was found, what to do."""
    text = str(error)
    if isinstance(error, UserError):
        return " ".join(text.split("\n"))
    if isinstance(error, YAMLError):
        return f"a config file is not YAML: {' '.join(text.split())}"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}{_outputs_hint(error)}"
    if unknown := re.search(r"Could not override '([^']+)'|Key '([^']+)' (?:is not in struct|not in)", text):
        return unknown_key(_full_key(text) or unknown[1] or unknown[2], command)
    if ambiguous := re.search(r"Ambiguous value for argument '([^']*)'", text):
        return f"{ambiguous[1]}: several values make a sweep, which needs -m; a text with a comma needs quotes inside quotes"
    if missing := re.search(r"Missing mandatory value: (\S+)|Structured config .*MISSING.*?'(\S+)'", text):
        return f"{missing[1] or missing[2]} has no value; set it with {missing[1] or missing[2]}=..."
    if taken := re.search(r"While dereferencing interpolation '\$\{\.*([\w.]+)\}'", text):
        key = _full_key(text) or "a key"
        return f"{key} takes its value from {taken[1]}, which does not fit: set {key}=..."
    if choice := re.search(r"Could not (?:find|load) '([^']+)/([^'/]+)'", text):
        return _unknown_choice(choice[1], choice[2], text)
    if typed := re.match(r"Error merging override (.*)", text, re.DOTALL):
        key, _, value = typed[1].removeprefix("++").partition("=")
        return _wrong_value(key, value, str(error.__cause__))
    if value := re.search(r"Value '(.*?)' of type '\w+' could not be converted to", text, re.DOTALL):
        return _wrong_value(_full_key(text) or "a key", value[1], text)
    if unread := re.search(r"^Error when parsing index: \d+, string: (.*?) out of \[", text):
        return f"{unread[1]}: {_unreadable(unread[1].partition('=')[2], text)}"
    return _first_lines(text) or type(error).__name__


def _outputs_hint(error: OSError) -> str:
    """Return what to do about a path that is the outputs folder, or lies in or above it; nothing for any other path."""
    outputs, place = outputs_folder().absolute(), Path(str(error.filename)).absolute()
    if place.is_relative_to(outputs) and len(place.relative_to(outputs).parts) > DEPTH_OF_RUNS:  # a file of a run
        return "; it was moved or deleted meanwhile" if isinstance(error, FileNotFoundError) else "; check its permissions"
    ours = place.is_relative_to(outputs) or place in outputs.parents
    return f"; set RNNSCOPE_OUTPUTS to a place other than {outputs}" if ours else ""


def _unreadable(value: str, text: str) -> str:
    """Return what is wrong with a value that Hydra's grammar refuses: most likely that of a sweep, or a text."""
    if function := re.search(r"HydraException while evaluating .*?: (Unknown function '\w+')", text):
        return f"{function[1].lower()}; {SWEPT}"
    if re.match(r"\w+\(", value) or "," in value:
        return f"this value cannot be read; {SWEPT}"
    return "this value cannot be read; a text with special characters needs quotes inside quotes: key='\"some text\"'"


def _full_key(text: str) -> str | None:
    found = re.search(r"full_key: (\S+)", text)
    return found[1] if found else None


def unknown_key(key: str, command: str) -> str:
    """Return the message for a key that a command does not have, with the one that was probably meant."""
    if key.startswith(("hydra.sweeper.", "hydra.launcher.")):
        return _unknown_setting(key)
    if key in ("experiment", "sweep"):
        return f"the file that {key}= names must begin with the line: # @package _global_"
    known = sorted({*keys_of(ROOTS[command]), *verbatim_of(command.partition("_")[0])})
    if key in known:
        group, _, leaf = key.partition(".")
        kinds = schema.GROUPS.get(group, {})
        owners = [f"{group}={name}" for name, kind in kinds.items() if leaf in kind.__dataclass_fields__]
        return f"the chosen {group} has no key {key!r}; it belongs to {' or '.join(owners)}"
    near = _near(key, known)
    hint = f". Did you mean {near!r}?" if near else ""
    return f"unknown key {key!r}{hint} (rnnscope {command.partition('_')[0]} --cfg job lists them all)"


def _unknown_setting(key: str) -> str:
    """Return the message for an unknown setting of the sweeper or launcher, which may belong to another one."""
    _, part, name = key.split(".", 2)
    if part == "sweeper" and name.startswith(("params", "jobs")):
        return f"{key} is for files in conf/sweep: on a command line, give a key its values, as in optimizer.lr=1e-3,3e-3"
    kinds = schema.SWEEPERS if part == "sweeper" else {}
    owners = [f"hydra/sweeper={choice}" for choice, kind in kinds.items() if name in kind.__dataclass_fields__]
    known = sorted({field for kind in kinds.values() for field in kind.__dataclass_fields__})
    near = get_close_matches(name, known, n=1)
    hint = f"; it belongs to {' or '.join(owners)}" if owners else f". Did you mean 'hydra.{part}.{near[0]}'?" if near else ""
    return f"the chosen {part} has no key {key!r}{hint} (rnnscope train --cfg hydra -p hydra.{part} lists them)"


def _near(key: str, known: list[str]) -> str | None:
    """Return the known key that was probably meant: one of the same section, if that section exists."""
    section, _, leaf = key.rpartition(".")
    deeper = [name for name in known if section and name.startswith(f"{section}.") and name.endswith(f".{leaf}")]
    if deeper:
        return deeper[0]
    siblings = [name.rpartition(".")[2] for name in known if section and name.rpartition(".")[0] == section]
    if siblings:
        return next((f"{section}.{name}" for name in get_close_matches(leaf, siblings, n=1, cutoff=0.5)), None)
    alike = get_close_matches(key, known, n=1) or [name for name in known if name.rpartition(".")[2] == leaf]
    return alike[0] if alike else None


def _unknown_choice(group: str, choice: str, text: str) -> str:
    listed = re.search(r"Available options in '[^']*':\n((?:\t.*\n?)+)", text)
    names = listed[1].split() if listed else sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))
    if (extra := PACKAGES.get(f"{group}={choice}")) is not None:
        return f"{group}={choice} needs a package that is not installed: pip install 'rnnscope[{extra}]'"
    near = get_close_matches(choice, names, n=1)
    hint = f". Did you mean {near[0]!r}? Choose" if near else "; choose"
    return f"unknown {group} {choice!r}{hint} from: {', '.join(names)}"


WRONG = {  # what OmegaConf says about a value -> what rnnscope says
    r"converted to Integer": "must be a whole number",
    r"converted to Float": "must be a number",
    r"not a valid bool": "must be true or false",
    r"not Optional": "must have a value",
    r"not a ListConfig": "must be a list, as in [a, b]",
    r"Cannot assign \w+ to Dict": "must be a map, as in {0: 0.1, 4000: 0.01}",
    r"Key (\S+) \(\w+\) is incompatible with \(int\)": "must have a whole number for each key",
    r"not a subclass of \w+Config": "is a section, whose keys are set one by one (section.key=value)",
}


def _wrong_value(key: str, value: str, text: str) -> str:
    """Return what is wrong with a value, from OmegaConf's message."""
    for pattern, words in WRONG.items():
        if re.search(pattern, text):
            return f"{key} {words}, not {value!r}"
    return f"{key}={value}: {_first_lines(text)}"


def _first_lines(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines()[:2] if line.strip() and "full_key" not in line)


def keys_of(kind: Any) -> Iterator[str]:
    """Yield every dotted key of a schema, including those of all choices of a group."""
    return (key for key, _ in schema.typed_keys(kind))


def check_section(command: str, section: str, option: str) -> None:
    """Refuse a section that the config of a command lacks.

    Raises:
        UserError: naming the option, and the sections.
    """
    keys = {*keys_of(ROOTS[command])}
    if section.split(".")[0] != "hydra" and section not in keys:
        known = sorted({key.partition(".")[0] for key in keys if "." in key})
        listed = ", ".join([*known, "hydra"])
        raise UserError(f"{option} takes a section of the command's config ({listed}){section and f', not {section}'}")
