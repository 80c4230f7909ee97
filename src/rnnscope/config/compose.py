"""Where conf/ is, and the Hydra entry point that every command shares."""

import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from rnnscope.config import schema
from rnnscope.config.overrides import replacing
from rnnscope.errors import UserError


@dataclass(frozen=True)
class CommandLine:
    """A command line on its way to Hydra.

    Args:
        command: the file of conf/ that it is for.
        overrides: what Hydra reads.
        typed: the words as they came, the program first.
    """

    command: str
    overrides: list[str]
    typed: list[str]


@dataclass(frozen=True)
class Composition:
    """What the user asked Hydra for: the choice of each group, the keys that were set, and Hydra's own record of both."""

    choices: dict[str, Any]
    keys: list[str]
    files: dict[str, str]


def conf_folder() -> Path:
    """Return the folder of configs: inside an installed package, or beside src/ in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(f"conf/train.yaml is neither in {package} nor beside src/: reinstall rnnscope")


def help_page(command: str) -> str:
    """Return what conf/<command>.yaml says of a command that composes nothing, and of each of its keys."""
    lines = (conf_folder() / f"{command}.yaml").read_text(encoding="utf-8").splitlines()
    kept = [line.removeprefix("# ") for line in lines if not line.startswith("defaults:")]
    typed_as = command.partition("_")[0]  # train_from is typed train from=
    return "\n".join([*kept, "", f"rnnscope {typed_as} key=value ...; --cfg job prints the config without running the command"])


@contextmanager
def process_arguments(words: list[str]) -> Generator[None]:
    """Let `sys.argv` be `words` meanwhile.

    Hydra reads its overrides there, run.json records it, and Lightning starts further processes with it.
    """
    before, sys.argv = sys.argv, words
    try:
        yield
    finally:
        sys.argv = before


def hydra_main(line: CommandLine, run: Callable[[Any], Any], job: Callable[[DictConfig], Any] | None = None) -> int:
    """Compose the command's config and call `run` with it, as the dataclass of config/schema.py.

    With `job` the command line sweeps, and Hydra's launchers call that instead, wherever they do: it travels by its name.

    Returns the exit status that `run` returned, 0 where it returned none. What `run` raises is raised again outside
    of Hydra, which would print lines of its own about it.
    """
    schema.register()
    overrides = replacing(line.overrides)
    results: list[int] = []
    failures: list[BaseException] = []

    def task(cfg: DictConfig) -> None:
        try:
            with process_arguments(line.typed):
                result = run(typed(line.command, cfg))
            results.append(result if isinstance(result, int) else 0)
        except Exception as error:
            failures.append(error)

    check_choices(overrides)
    with process_arguments([line.typed[0], *overrides]):
        hydra.main(config_path=str(conf_folder()), config_name=line.command)(job or task)()
    if failures:
        raise failures[0]
    return max(results, default=0)


def check_choices(overrides: list[str]) -> None:
    """Refuse a choice that cannot be a file's name, which Hydra answers with a traceback.

    Raises:
        UserError: naming the choices.
    """
    for override in overrides:
        group, _, value = override.partition("=")
        if group not in (*schema.GROUPS, "experiment", "sweep", "hydra/sweeper"):
            continue
        names = sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))
        other = group == "hydra/sweeper" and value not in names  # Hydra has some that would leave no run folders
        if other or value == "null" or not re.match(r"[A-Za-z_\[{'\"]", value):
            raise UserError(f"{override} is not a choice; choose from: {', '.join(names)}")


def composition() -> Composition:
    """Return how the config of the command at work was composed."""
    found = HydraConfig.get()
    choices, words = dict(found.runtime.choices), found.overrides.task
    files = {"overrides.yaml": OmegaConf.to_yaml(words), "choices.yaml": OmegaConf.to_yaml(choices)}
    return Composition(choices, [word.partition("=")[0].lstrip("+") for word in words], files)


def compose_train(overrides: list[str]) -> schema.TrainConfig:
    """Return what `rnnscope train <overrides>` would train, for use from Python."""
    schema.register()
    overrides = replacing(overrides)
    if GlobalHydra.instance().is_initialized():  # inside a command: its search path is the same conf/
        return typed("train", hydra.compose("train", overrides))
    with hydra.initialize_config_dir(str(conf_folder())):
        return typed("train", hydra.compose("train", overrides))


def typed(command: str, cfg: DictConfig) -> Any:
    """Return what Hydra composed as the command's dataclass: neither an OmegaConf object nor a dict goes past this line."""
    values: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    if command != "train":
        return schema.COMMANDS[command](**values)
    from rnnscope.config.validate import from_plain  # it knows run folders, and so torch: help does without

    return from_plain(values)
