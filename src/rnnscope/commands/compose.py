"""Where conf/ is, and the Hydra entry point that every command shares."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from rnnscope.commands import schema


def conf_folder() -> Path:
    """Return the folder of configs: inside an installed package, or beside src/ in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(f"conf/train.yaml is neither in {package} nor beside src/: reinstall rnnscope")


def hydra_main(command: str, run: Callable[[dict[str, Any]], Any]) -> int:
    """Compose the command's config from the command line and call `run` with it as a plain, resolved dict."""
    schema.register()
    status = 0

    def task(cfg: DictConfig) -> None:
        nonlocal status
        sys.argv = [sys.argv[0], command, *sys.argv[1:]]  # what was typed: Lightning starts its children with it
        result = run(plain(cfg))
        status = result if isinstance(result, int) else 0

    logging.getLogger("hydra.core.utils").addHandler(logging.NullHandler())  # errors are reported once, by cli.py
    logging.getLogger("hydra").propagate = False
    hydra.main(config_path=str(conf_folder()), config_name=command)(task)()
    return status


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return the config as nested dicts of plain values: no OmegaConf object goes past this line."""
    return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
