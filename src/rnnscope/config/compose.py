"""The Hydra entry point that all commands share: a command line becomes a typed config."""

import re
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, is_dataclass
from typing import Any, get_type_hints

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from rnnscope.config import schema
from rnnscope.config.extensions import import_plugins, plugins_in
from rnnscope.config.overrides import (
    EXTENSIONS,
    FOLDER,
    as_typed,
    check_word,
    is_sweep,
    overrides_of,
    refuse_settings_of_sweeps,
    replacing,
)
from rnnscope.errors import UserError, reason
from rnnscope.paths import conf_folder
from rnnscope.text_io import check_argument


@dataclass(frozen=True)
class CommandLine:
    """A command line on its way to Hydra.

    Args:
        command: the name of its file in conf/.
        overrides: the words that Hydra reads.
        typed: the words as they were typed, the program first.
    """

    command: str
    overrides: list[str]
    typed: list[str]


@dataclass(frozen=True)
class Composition:
    """What Hydra composed for `rnnscope train`: the config, the extensions, and how it was composed.

    Args:
        choices: the choice of each group.
        keys: the keys that were set.
        files: Hydra's own record of both, for the run folder.
    """

    config: schema.TrainConfig
    extensions: schema.ExtensionsConfig
    choices: dict[str, Any]
    keys: list[str]
    files: dict[str, str]


def help_page(command: str) -> str:
    """Return the help of a command other than train: the comments and keys in conf/<command>.yaml."""
    lines = (conf_folder() / f"{command}.yaml").read_text(encoding="utf-8").splitlines()
    kept = [line.removeprefix("# ") for line in lines if not line.startswith("defaults:")]
    typed_as = command.partition("_")[0]  # train_from is typed train from=
    return "\n".join([*kept, "", f"rnnscope {typed_as} key=value ...; --cfg job prints the config without running the command"])


@contextmanager
def process_arguments(words: list[str]) -> Generator[None]:
    """Set `sys.argv` to `words` for the duration of a block.

    Hydra reads its overrides from it, run.json records it, and Lightning starts further processes with it.
    """
    before, sys.argv = sys.argv, words
    try:
        yield
    finally:
        sys.argv = before


def hydra_main(line: CommandLine, run: Callable[[Any], Any], job: Callable[[DictConfig], Any] | None = None) -> int:
    """Compose the config of a command and call `run` with it, as the dataclass in config/schema.py.

    If `job` is given, the command line is a sweep, and Hydra's launchers call `job` instead, perhaps in another process.

    Returns the exit status that `run` returned, or 0. An exception of `run` is raised again outside of Hydra, which would
    print lines of its own about it.
    """
    overrides = prepared(line.overrides)
    results: list[int] = []
    failures: list[BaseException] = []

    def task(cfg: DictConfig) -> None:
        try:
            with process_arguments(line.typed):
                result = run(composed(cfg) if line.command == "train" else typed(line.command, cfg))
            results.append(result if isinstance(result, int) else 0)
        except Exception as error:
            failures.append(error)

    with process_arguments([line.typed[0], *overrides]), own_files(overrides):
        hydra.main(config_path=str(conf_folder()), config_name=line.command)(job or task)()
    if failures:
        raise failures[0]
    return max(results, default=0)


@contextmanager
def own_files(overrides: list[str]) -> Generator[None]:
    """Turn errors that Hydra and OmegaConf do not expect, in files under `--config-dir`, into one of the user.

    Raises:
        UserError: for a file that is not text, one that names itself, or an interpolation that is not a section.
    """
    try:
        yield
    except (UnicodeDecodeError, RecursionError, AttributeError) as error:
        folder = next((word for word in overrides if word.partition("=")[0] in FOLDER), None)
        if folder is None:
            raise
        raise UserError(
            f"{folder}: a config file there cannot be composed ({type(error).__name__}: {reason(error)})"
        ) from error


def check_choices(overrides: list[str]) -> None:
    """Refuse a choice that cannot be the name of a file: Hydra would print a traceback.

    Raises:
        UserError: listing the choices.
    """
    for override in overrides:
        group, _, value = override.partition("=")
        if "=" not in override or group not in (*schema.GROUPS, "experiment", "sweep", "hydra/sweeper"):
            continue
        plugged = [name for kind, name in schema.PLUGGED if kind == group]
        names = sorted([*plugged, *(path.stem for path in (conf_folder() / group).glob("*.yaml"))])
        other = group == "hydra/sweeper" and value not in names  # Hydra's own sweepers would leave no run folders
        if other or value == "null" or not re.match(r"[A-Za-z_\[{'\"]", value):
            raise UserError(f"unknown {group} {value!r}; choose from: {', '.join(names)}")


def composed(cfg: DictConfig) -> Composition:
    """Return what Hydra composed for `rnnscope train`, and how, while that command runs."""
    return composition_of(cfg, HydraConfig.get())


def composition_of(cfg: DictConfig, found: Any) -> Composition:
    """Return what Hydra composed, and how; `found` is Hydra's own part of the config."""
    from rnnscope.config.places import with_absolute_places
    from rnnscope.config.validate import from_plain  # not at the top: it imports torch, which help does not need

    values, choices, words = plain(cfg), dict(found.runtime.choices), found.overrides.task
    extensions = schema.ExtensionsConfig(**{key: values.pop(key) for key in EXTENSIONS})
    if extensions.notify is not None and not any(word.startswith("notify=") for word in words):
        raise UserError(f"notify={extensions.notify}: set this on the command line; a config file cannot run commands")
    import_plugins(extensions.plugins)  # a worker of a sweep has not imported them yet
    files = {"overrides.yaml": OmegaConf.to_yaml(words), "choices.yaml": OmegaConf.to_yaml(choices)}
    keys = [word.partition("=")[0].lstrip("+") for word in words]
    return Composition(from_plain(with_absolute_places(values)), extensions, choices, keys, files)


def compose_command(words: Iterable[str]) -> Composition:
    """Return what Hydra composes for `rnnscope train <words>`, for use from Python.

    Raises:
        UserError: for a word that the command would refuse, and for one of a sweep or `from=`.
    """
    from rnnscope.config.hydra_errors import one_line

    words = list(words)
    for word in words:
        check_argument(word)
        if is_sweep([word]) or word.startswith("from="):
            raise UserError(f"{word} works on the command line only: rnnscope train {word}")
        check_word(word)
    refuse_settings_of_sweeps(words)
    overrides = prepared(overrides_of("train", words))
    inside = GlobalHydra.instance().is_initialized()  # a command is running: its search path is the same conf/
    try:
        with nullcontext() if inside else hydra.initialize_config_dir(str(conf_folder())):
            cfg = hydra.compose("train", overrides, return_hydra_config=True)
        with open_dict(cfg):
            return composition_of(cfg, cfg.pop("hydra"))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(as_typed(one_line(error, "train"), words)) from error


def prepared(overrides: list[str]) -> list[str]:
    """Register all plug-ins and schemas, and return the overrides as Hydra reads them."""
    overrides = replacing(overrides)
    import_plugins(plugins_in(overrides))
    schema.register()
    check_choices(overrides)
    return overrides


def compose_train(overrides: list[str]) -> schema.TrainConfig:
    """Return the config that Hydra composes for `rnnscope train <overrides>`."""
    return compose_command(overrides).config


def typed(command: str, cfg: DictConfig) -> Any:
    """Return what Hydra composed as the dataclass of the command; no OmegaConf object or dict is used beyond this point."""
    kind: Any = schema.COMMANDS[command]
    hints = get_type_hints(kind)
    return kind(**{key: hints[key](**value) if is_dataclass(hints[key]) else value for key, value in plain(cfg).items()})


def plain(cfg: DictConfig) -> Any:
    return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
