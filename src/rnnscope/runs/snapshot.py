"""Reading and writing config.yaml and vocabulary.json, the plain data from which a model is rebuilt."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import yaml

from rnnscope.data.vocabulary import Vocabulary
from rnnscope.errors import DAMAGED, UserError, unreadable
from rnnscope.model.config import ModelConfig, check_sizes
from rnnscope.model.language_model import LanguageModel
from rnnscope.runs.files import replace_text
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.plain_values import is_list, is_mapping
from rnnscope.runs.record import value_at

CONFIG_LIMIT = 1_000_000  # bytes; a usual config has a few thousand
VOCABULARY_LIMIT = 100_000_000  # bytes
DEPTH_LIMIT = 20  # of nesting; a config has three levels
LAYER_LIMIT = 1_000
PARAMETER_LIMIT = 2_000_000_000  # values; a larger model would only exhaust the memory


class _Dumper(yaml.SafeDumper):
    """Dumps plain values only, without anchors for repeated ones."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def write_config(folder: RunFolder, config: dict[str, Any]) -> None:
    """Write the resolved config."""
    text = yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    replace_text(folder.config, text)


def read_config(folder: RunFolder) -> dict[str, Any]:
    """Read config.yaml as plain data.

    Raises:
        UserError: if it is missing, too large, not a YAML mapping, or has a tag that would build an object.
    """
    return read_config_file(folder.config)


def read_config_file(path: Path) -> dict[str, Any]:
    """Read the config.yaml of a run from any path.

    Raises:
        UserError: as `read_config`.
    """
    loaded = _read(path, CONFIG_LIMIT, _parse_yaml)
    if not is_mapping(loaded):
        raise UserError(f"{path} is not a config: it contains a {type(loaded).__name__}, not keys and values")
    check_keys(loaded, path)
    check_places(loaded, path)
    return loaded


def _parse_yaml(text: str) -> Any:
    """Parse plain YAML; aliases are refused, since nested ones can expand to more than any memory holds."""
    depth, parser = 0, cast(Any, yaml.CSafeLoader(text))  # its stub has no event
    while parser.check_event():
        event = parser.get_event()
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEPTH_LIMIT:
            raise ValueError("it has an alias, or is nested too deeply: rnnscope writes neither")
    return yaml.load(text, Loader=yaml.CSafeLoader)


def check_keys(value: Any, source: Path, name: str = "") -> None:
    """Raise a `UserError` for a key that makes Hydra build an object, such as `_target_`: rnnscope writes no such key."""
    inner = value.items() if is_mapping(value) else enumerate(value) if is_list(value) else ()
    for key, found in inner:
        if isinstance(key, str) and key.startswith("_"):
            raise UserError(f"{source}: {name}{key} is not a key of rnnscope, which never creates objects that a config names")
        check_keys(found, source, f"{name}{key}.")


def check_places(config: dict[str, Any], source: Path) -> None:
    """Raise a `UserError` if a downloaded text would be stored outside the cache: its `path` must be a bare file name."""
    for split in ("", "val_", "test_"):
        url, path = (value_at(config, f"dataset.corpus.{split}{key}") for key in ("url", "path"))
        if url is not None and not re.match(r"https?://", str(url)):
            raise UserError(f"{source}: dataset.corpus.{split}url={url} is not an http address")
        if url is not None and (path in ("", None) or re.search(r"^[/~]|[\\:\0]|(^|/)\.\.?(/|$)", str(path))):
            raise UserError(f"{source}: dataset.corpus.{split}path={path} leaves the cache: with a url, use a bare file name")


def write_vocabulary(folder: RunFolder, vocabulary: Vocabulary) -> None:
    """Write vocabulary.json."""
    replace_text(folder.vocabulary, json.dumps(vocabulary.to_json(), ensure_ascii=False) + "\n")


def read_vocabulary(folder: RunFolder) -> Vocabulary:
    """Read vocabulary.json.

    Raises:
        UserError: if it is missing, too large, or not a vocabulary.
    """
    data = _read(folder.vocabulary, VOCABULARY_LIMIT, json.loads)
    try:
        return Vocabulary.from_json(data)
    except UserError as error:
        raise UserError(f"{folder.vocabulary}: {error}") from None
    except (LookupError, TypeError) as error:
        raise UserError(f"{folder.vocabulary} is not a vocabulary of rnnscope ({type(error).__name__}: {error})") from error


def _read(path: Path, limit: int, parse: Any) -> Any:
    try:
        size = path.stat().st_size
        if size <= limit:
            return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {path.parent} is not a complete run folder") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise unreadable(path, error) from error
    raise UserError(f"{path} has {size} bytes, more than a {path.name} may have ({limit})")


def model_config(config: dict[str, Any], source: str) -> ModelConfig:
    """Return the `model` section of a config of unknown origin.

    Raises:
        UserError: for unknown keys.
    """
    keys: Any = config.get("model")
    known = {field.name for field in fields(ModelConfig)}
    if not is_mapping(keys):
        raise UserError(f"{source} has no section model: {DAMAGED}")
    if strange := ", ".join(str(key) for key in keys.keys() - known):
        raise UserError(f"{source}: unknown keys under model: {strange}; known: {', '.join(sorted(known))}")
    return ModelConfig(**keys)


def build_model(config: ModelConfig, vocabulary_size: int, source: str = "model") -> LanguageModel:
    """Return a newly initialized model.

    Raises:
        UserError: for sizes beyond any memory, and for values of the wrong type, naming them.
    """
    _check_size(config, vocabulary_size, source)
    try:
        return LanguageModel.from_config(config, vocabulary_size)
    except TypeError as error:
        raise UserError(f"{source}: the model section has a value of the wrong type ({error})") from error


def _check_size(config: ModelConfig, vocabulary_size: int, source: str) -> None:
    """Refuse a model that would exhaust the memory, by a rough upper bound, before it is built."""
    check_sizes(config, f"{source}: ")
    hidden, layers = config.widest, config.num_layers
    features = hidden if config.embedding_size is None else config.embedding_size
    sizes = {"hidden_size": hidden, "num_layers": layers, "embedding_size": features}
    for key, size in sizes.items():
        if type(size) is not int:
            raise UserError(f"{source}: model.{key}={size!r} must be a whole number")
    inputs = vocabulary_size if config.input == "one_hot" else features
    matrices = 4 * hidden * (inputs + hidden) + 8 * hidden * hidden * max(layers - 1, 0)
    if layers > LAYER_LIMIT or matrices + vocabulary_size * (features + hidden) > PARAMETER_LIMIT:
        listed = ", ".join(f"{key}={size}" for key, size in sizes.items())
        raise UserError(f"{source}: model with {listed} has over {PARAMETER_LIMIT} parameters or {LAYER_LIMIT} layers")
