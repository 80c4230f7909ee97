"""Optuna itself, which is no part of rnnscope's own dependencies; and what its names are here."""

from pathlib import Path
from typing import Any

from rnnscope.errors import UserError


def optuna_package() -> Any:
    """Return Optuna, which is no part of rnnscope's own dependencies, and hear only its warnings.

    Raises:
        UserError: where it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError("hydra/sweeper=optuna needs Optuna, which is not installed: pip install 'rnnscope[sweep]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def storage_in(folder: Path) -> Any:
    """Return the storage of the study in a sweep's folder; several processes may write to it."""
    from sqlalchemy.engine import URL

    url = URL.create("sqlite", database=str(folder.resolve() / "study.db")).render_as_string()
    return optuna_package().storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})


def choice(key: str, name: str, known: dict[str, str]) -> str:
    """Return what `name` stands for.

    Raises:
        UserError: when it is unknown.
    """
    if name not in known:
        raise UserError(f"hydra.sweeper.{key}={name} is unknown: choose one of {', '.join(known)}")
    return known[name]
