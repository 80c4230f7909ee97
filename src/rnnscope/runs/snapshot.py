"""Reading and writing the plain-data files that rebuild a model: config.yaml and vocabulary.json."""

import inspect
import json
from pathlib import Path
from typing import Any

import yaml

from rnnscope.data.vocabulary import Vocabulary
from rnnscope.errors import UserError
from rnnscope.model.language_model import LanguageModel
from rnnscope.runs.files import replace_text
from rnnscope.runs.folder import RunFolder

CONFIG_LIMIT = 1_000_000  # bytes; a config is a page, and one that is not was not written by rnnscope
VOCABULARY_LIMIT = 100_000_000  # bytes
PARAMETER_LIMIT = 2_000_000_000  # values; a config that asks for more would only exhaust the memory


class _Dumper(yaml.SafeDumper):
    """Dumps plain values only and spells out repeated ones: no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def write_config(folder: RunFolder, config: dict[str, Any]) -> None:
    """Write the resolved config."""
    text = yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    replace_text(folder.config, text)


def read_config(folder: RunFolder) -> dict[str, Any]:
    """Read config.yaml as plain data.

    Raises:
        UserError: when it is missing, too large, no YAML mapping, or holds a tag that would build an object.
    """
    loaded = _read(folder.config, CONFIG_LIMIT, lambda text: yaml.load(text, Loader=yaml.CSafeLoader))
    if not isinstance(loaded, dict):
        raise UserError(f"{folder.config} is no config: it holds a {type(loaded).__name__}, not keys and values")
    return loaded


def write_vocabulary(folder: RunFolder, vocabulary: Vocabulary) -> None:
    """Write the vocabulary, which belongs to the run."""
    replace_text(folder.vocabulary, json.dumps(vocabulary.to_json(), ensure_ascii=False) + "\n")


def read_vocabulary(folder: RunFolder) -> Vocabulary:
    """Read vocabulary.json."""
    return Vocabulary.from_json(_read(folder.vocabulary, VOCABULARY_LIMIT, json.loads))


def _read(path: Path, limit: int, parse: Any) -> Any:
    try:
        if path.stat().st_size > limit:
            raise UserError(f"{path} has {path.stat().st_size} bytes, more than a {path.name} may have ({limit}); not opened")
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: {path.parent} is not a whole run folder") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} cannot be read ({first})") from error


def build_model(config: dict[str, Any], vocabulary_size: int, source: str = "model") -> LanguageModel:
    """Return a fresh model from the config's `model` section.

    Raises:
        UserError: for keys a model does not have and sizes no machine holds, naming them.
    """
    keys = config.get("model")
    known = set(inspect.signature(LanguageModel).parameters) - {"vocabulary_size"}
    if not isinstance(keys, dict) or not keys.keys() <= known:
        strange = ", ".join(str(key) for key in keys.keys() - known) if isinstance(keys, dict) else "model"
        raise UserError(f"{source}: unknown key(s) under model: {strange}; known: {', '.join(sorted(known))}")
    hidden, layers = keys.get("hidden_size", 512), keys.get("num_layers", 1)
    if not (isinstance(hidden, int) and isinstance(layers, int)):
        raise UserError(f"{source}: model.hidden_size={hidden!r} and model.num_layers={layers!r} must be whole numbers")
    if hidden * hidden * max(layers, 1) * 8 + vocabulary_size * hidden > PARAMETER_LIMIT:
        raise UserError(f"{source}: model.hidden_size={hidden}, num_layers={layers} make over {PARAMETER_LIMIT} parameters")
    try:
        return LanguageModel(vocabulary_size, **keys)
    except TypeError as error:
        raise UserError(f"{source}: the model section has a value of the wrong type ({error})") from error
