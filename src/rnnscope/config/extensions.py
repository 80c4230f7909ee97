"""Extensions that a command line names: Lightning callbacks and loggers, and plug-ins that register their own parts.

Only a command line can name code. A run records the names, but nothing is ever imported because a run folder names it.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from rnnscope.config import schema
from rnnscope.config.schema import ExtensionsConfig
from rnnscope.errors import UserError
from rnnscope.format import plain
from rnnscope.model.config import ModelConfig
from rnnscope.paths import conf_folder
from rnnscope.training.config import OptimizerConfig, ScheduleConfig
from rnnscope.training.optimizers import OPTIMIZERS, OptimizerKind
from rnnscope.training.schedules import SCHEDULES, Schedule, ScheduleKind

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from rnnscope.model.cells.cell import Cell

EXTRAS = {"mlflow": "rnnscope[mlflow]", "wandb": "rnnscope[wandb]", "psutil": "psutil"}  # missing module -> package to install


def register_cell(cell: Cell) -> None:
    """Register a cell as `model=<its name>`, with the sizes in conf/model/lstm.yaml."""
    from rnnscope.model.cells.registry import CELLS

    CELLS[cell.name] = cell
    sizes: Any = OmegaConf.load(conf_folder() / "model" / "lstm.yaml")
    del sizes["defaults"]
    node: Any = OmegaConf.merge(OmegaConf.structured(ModelConfig), sizes, {"cell": cell.name})
    if cell.forget_gate is None:
        node.forget_bias = 0.0
    schema.PLUGGED["model", cell.name] = node


def register_optimizer(name: str, optimizer: type[Optimizer], config: type[OptimizerConfig]) -> None:
    """Register an optimizer as `optimizer=<name>`.

    Args:
        optimizer: a subclass of torch's `Optimizer`.
        config: a dataclass of its keys: `lr`, `weight_decay` and its other arguments, with defaults.
    """
    OPTIMIZERS[name] = OptimizerKind(config, optimizer, {}, None)
    _register_section("optimizer", name, config)


def register_schedule(name: str, make: Callable[..., Schedule], config: type[ScheduleConfig]) -> None:
    """Register a schedule as `schedule=<name>`.

    Args:
        make: called with `lr`, the budget in steps (None if only the clock limits it) and the keys of `config`; returns an
            object with `rate(step, epoch)`.
        config: a dataclass of its keys, with defaults.
    """
    SCHEDULES[name] = ScheduleKind(config, make)
    _register_section("schedule", name, config)


def _register_section(group: str, name: str, config: Any) -> None:
    schema.GROUPS[group][name] = config
    schema.PLUGGED[group, name] = config(name=name)


def register_callback(name: str, callback: type) -> None:
    """Register a Lightning callback as `callbacks=[<name>]`."""
    schema.PLUGGED["callbacks", name] = {name: {"_target_": f"{callback.__module__}.{callback.__qualname__}"}}


def import_plugins(names: Iterable[str]) -> None:
    """Import the modules that `plugins=[...]` names; each registers its parts (`rnnscope.register_cell` and so on).

    Raises:
        UserError: if one is missing, or cannot be imported.
    """
    for name in names:
        import_module(name, f"plugins=[{name}]")


def plugins_in(overrides: Iterable[str]) -> list[str]:
    """Return the modules that a command line names as plug-ins; they are imported before Hydra composes."""
    for override in overrides:
        if override.partition("=")[0] == "plugins":
            parsed = OverridesParser.create().parse_override(override)
            if parsed.is_sweep_override():
                raise UserError(f"{override}: plug-ins cannot be swept over; give all jobs the same ones, as in plugins=[a,b]")
            value: Any = parsed.value()
            return [str(name) for name in value] if isinstance(value, list) else [str(value)]  # pyright: ignore
    return []


def import_module(name: str, asked: str) -> Any:
    """Import a module of the user, from the current folder too, as `python -m` does.

    Raises:
        UserError: beginning with `asked`, the word that names the module.
    """
    if not name:
        raise UserError(f"{asked}: the name of a module is empty: write it, as in plugins=[my_module]")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"{asked}: {missing(error)} (looked in {os.getcwd()} and on Python's path)") from error
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{asked}: importing {name} failed: {type(error).__name__}: {error}") from error


def missing(error: ModuleNotFoundError) -> str:
    """Return the message for a module that is not installed."""
    name = error.name or str(error)
    for module, package in EXTRAS.items():
        if module in (error.name or "") or module in str(error):
            return f"{module} is not installed: pip install '{package}'"
    return f"no module named {name!r}"


def command_words(extensions: ExtensionsConfig) -> list[str]:
    """Return the words of a command line that ask for the same callbacks, loggers, plug-ins and notification."""
    named = {key: list(getattr(extensions, key)) for key in ("callbacks", "logger", "callback_classes", "plugins")}
    words = [f"{key}=[{','.join(names)}]" for key, names in named.items() if names]
    for group in ("callbacks", "logger"):
        words += [word for name, node in getattr(extensions, group).items() for word in _settings(group, name, node)]
    return [*words, *([f"notify={extensions.notify}"] if extensions.notify else [])]


def _settings(group: str, name: str, node: dict[str, Any]) -> list[str]:
    """Return `group.name.key=value` for each setting of a callback or logger that differs from its file in conf/."""
    usual = _usual(group, name) or {"_target_": node.get("_target_")}
    return [f"{group}.{name}.{key}={plain(value)}" for key, value in node.items() if value != usual.get(key)]


def _usual(group: str, name: str) -> dict[str, Any]:
    """Return the settings of a callback or logger in conf/; none for one that a plug-in registered."""
    file = conf_folder() / group / f"{name}.yaml"
    loaded: Any = OmegaConf.load(file) if file.is_file() else {}
    return dict(loaded.get(name, {}))


def make_callbacks(extensions: ExtensionsConfig) -> list[Any]:
    """Return the callbacks that a command line asks for, those in `callbacks` first.

    Raises:
        UserError: if one cannot be created, saying why.
    """
    made = [make(node, f"callbacks={name}") for name, node in extensions.callbacks.items()]
    for name in extensions.callback_classes:
        module, _, attribute = name.rpartition(".")
        asked = f"callback_classes=[{name}]"
        if not module:
            raise UserError(f"{asked}: write module.Class, as in my_module.MyCallback")
        found = getattr(import_module(module, asked), attribute, None)
        if not inspect.isclass(found):
            raise UserError(f"{asked}: {module} has no class {attribute}")
        made.append(_called(found, asked))
    return made


def make(node: dict[str, Any], asked: str, **options: Any) -> Any:
    """Return the object that a node of conf/callbacks or conf/logger describes, with `options` as further arguments.

    Raises:
        UserError: if its package is missing, or it does not accept its settings.
    """
    _check_settings(node, asked)
    trusted: dict[str, Any] = {"_execution_whitelist_": [str(node.get("_target_"))]}  # the command line named it
    return _called(lambda: instantiate({**node, "_convert_": "all"}, **options, **trusted), asked)


def _check_settings(node: dict[str, Any], asked: str) -> None:
    """Refuse a setting of another type than in its file in conf/: many a callback would fail in the middle of training.

    Raises:
        UserError: naming the setting.
    """
    group, _, name = asked.partition("=")
    for key, usual in _usual(group, name).items():
        value = node.get(key)
        number = isinstance(usual, (int, float)) and not isinstance(usual, bool)
        if number and (isinstance(value, bool) or not isinstance(value, (type(usual), int))):
            raise UserError(f"{group}.{name}.{key}={plain(value)} must be a {'whole ' if type(usual) is int else ''}number")


def _called(function: Any, asked: str) -> Any:
    try:
        return function()
    except Exception as error:
        cause = error.__cause__ if isinstance(error, HydraException) and error.__cause__ else error
        if isinstance(cause, ModuleNotFoundError):
            raise UserError(f"{asked}: {missing(cause)}") from error
        raise UserError(f"{asked} cannot be created: {type(cause).__name__}: {cause}".split("\n")[0]) from error


def check_package(node: dict[str, Any], asked: str) -> None:
    """Refuse a logger whose package is not installed, before anything is trained.

    Raises:
        UserError: saying what to install.
    """
    name = str(node.get("_target_")).rpartition(".")[2].lower().removesuffix("logger")
    if name in EXTRAS and importlib.util.find_spec(name) is None:
        raise UserError(f"{asked}: {missing(ModuleNotFoundError(name=name))}")


def named_classes(extensions: ExtensionsConfig) -> dict[str, list[str]]:
    """Return the classes of the callbacks and loggers, for the record of the run."""
    nodes = {"callbacks": extensions.callbacks, "logger": extensions.logger}
    found = {key: [str(node.get("_target_")) for node in section.values()] for key, section in nodes.items()}
    return {**found, "callback_classes": list(extensions.callback_classes)}


def module_files(extensions: ExtensionsConfig) -> dict[str, Path | None]:
    """Return the file of each module that was named; None if it has none."""
    modules = [*extensions.plugins, *(name.rpartition(".")[0] for name in extensions.callback_classes)]
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in modules}
    return {name: Path(file) if file else None for name, file in files.items()}
