"""Where conf/ is, and the Hydra entry point that every command shares."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from rnnscope.config import schema
from rnnscope.config.overrides import replacing
from rnnscope.errors import UserError

typed: list[str] = []  # the command line as it came, before cli.py made overrides of it


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
    return "\n".join([*kept, "", f"rnnscope {typed_as} key=value ...; --cfg job shows the config it would run with"])


def hydra_main(command: str, run: Callable[[dict[str, Any]], Any], job: Callable[[DictConfig], Any] | None = None) -> int:
    """Compose the command's config from the command line and call `run` with it as a plain, resolved dict.

    With `job` the command line sweeps, and Hydra's launchers call that instead, wherever they do: it travels by its name.

    Returns the exit status that `run` returned, 0 where it returned none. What `run` raises is raised again outside
    of Hydra, which would print lines of its own about it.
    """
    schema.register()
    sys.argv = [sys.argv[0], *replacing(sys.argv[1:])]
    results: list[int] = []
    failures: list[BaseException] = []

    def task(cfg: DictConfig) -> None:
        sys.argv = typed or sys.argv  # run.json records it, and Lightning starts further processes with it
        try:
            result = run(plain(cfg))
            results.append(result if isinstance(result, int) else 0)
        except Exception as error:
            failures.append(error)

    check_choices(sys.argv[1:])
    hydra.main(config_path=str(conf_folder()), config_name=command)(job or task)()
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
            raise UserError(f"{override} is no choice; there are: {', '.join(names)}")


def compose_train(overrides: list[str]) -> dict[str, Any]:
    """Return what `rnnscope train <overrides>` would train, for use from Python."""
    schema.register()
    overrides = replacing(overrides)
    if GlobalHydra.instance().is_initialized():  # inside a command: its search path is the same conf/
        return plain(hydra.compose("train", overrides))
    with hydra.initialize_config_dir(str(conf_folder())):
        return plain(hydra.compose("train", overrides))


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return the config as nested dicts of plain values: no OmegaConf object goes past this line."""
    return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
