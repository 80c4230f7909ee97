"""Lightning's loggers for a run: they get its config, metrics, samples and files.

Without a logger, logged values go to logged.jsonl in the run folder.
"""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.logger import DummyLogger

from rnnscope.config.extensions import check_package, make
from rnnscope.format import json_text
from rnnscope.monitor.tensorboard import TensorBoardWriter
from rnnscope.paths import outputs_folder
from rnnscope.runs.files import replace_text
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.record import Record
from rnnscope.training.trainer_task import LOGGED

ENDS = {"finished": "FINISHED", "interrupted": "KILLED"}  # MLflow's status by that of a run; else FAILED


class Loggers:
    """The loggers of a training.

    Args:
        nodes: of conf/logger, by name.

    Raises:
        UserError: if the package of one is not installed.
    """

    def __init__(self, nodes: dict[str, Any]) -> None:
        for name, node in nodes.items():
            check_package(node, f"logger={name}")
        self.nodes, self.resumed = nodes, False
        self.loggers: list[Logger] = [DummyLogger()]  # kept in every process but rank 0

    def open(self, run: RunFolder, record: Record, config: dict[str, Any], first_step: int) -> None:
        """Create the loggers of a run whose next step is `first_step`; those of a new run get its config.

        Raises:
            UserError: if a logger rejects its settings.
        """
        for chatty in ("mlflow.store.db.utils", "alembic.runtime.migration"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self.loggers, self.resumed = [], first_step > 0
        places = places_of(run, record, first_step)
        for name, node in self.nodes.items():
            place = places.get(str(node.get("_target_")).rpartition(".")[2], {})
            given = {key: value for key, value in node.items() if value is not None or key not in place}
            self.loggers.append(make({**place, **given}, f"logger={name}"))
        if not self.loggers:
            self.loggers = [RunLogger(run.logged, first_step)]
        for logger in self.loggers:
            if isinstance(logger, MLFlowLogger):
                record.update(loggers={"mlflow": logger.run_id})
            if not first_step:
                logger.log_hyperparams(config)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        for logger in self.loggers:
            logger.log_metrics(values, step)

    def text(self, step: int, tag: str, text: str) -> None:
        for logger in self.loggers:
            if isinstance(logger, MLFlowLogger):
                logger.experiment.log_text(logger.run_id, text, f"{tag}/step_{step:08}.txt")
            elif isinstance(logger, WandbLogger):
                logger.log_text(tag, columns=["step", "text"], data=[[str(step), text]], step=step)
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text(tag, text, step)

    def finish(self, run: RunFolder, status: str, say: Callable[[str], None]) -> None:
        """Store the files of a run that has ended; a failure is only reported, since the run itself is on disk."""
        kept = (run.config, run.vocabulary, run.record, run.metrics, run.samples, run.weights)
        files = [path for path in kept if path.is_file()]
        for logger in self.loggers:
            try:
                if isinstance(logger, MLFlowLogger):
                    for path in files:
                        logger.experiment.log_artifact(logger.run_id, str(path))
                    logger.experiment.set_terminated(logger.run_id, ENDS.get(status, "FAILED"))
                elif isinstance(logger, WandbLogger):
                    finish_wandb(logger, files, status, self.resumed, say)
            except Exception as error:
                say(f"warning: {type(logger).__name__} could not store the files of the run ({type(error).__name__}: {error})")


def places_of(run: RunFolder, record: Record, first_step: int) -> dict[str, dict[str, Any]]:
    """Return where each class of logger writes, and the id under which a resumed run continues."""
    session = {"save_dir": str(run.path), "version": f"from_step_{first_step}"}  # a resumed run would overwrite the first
    mlflow, name = outputs_folder() / "mlflow.db", "/".join(run.path.absolute().parts[-2:])
    return {
        "CSVLogger": {**session, "name": "csv_logger"},
        "TensorBoardLogger": {**session, "name": "tensorboard_logger"},
        "MLFlowLogger": {
            "tracking_uri": f"sqlite:///{mlflow.absolute()}",
            "artifact_location": (mlflow.parent / "mlflow_artifacts").absolute().as_uri(),
            "run_name": name,
            "run_id": record.get("loggers.mlflow", str),
        },
        "WandbLogger": {
            "settings": {"silent": True},
            "save_dir": str(run.path),
            "name": name,
            "id": record.get("id", str),
            "resume": "allow",
        },
    }


def finish_wandb(logger: WandbLogger, files: list[Path], status: str, resumed: bool, say: Callable[[str], None]) -> None:
    """Store files as an artifact, close W&B's run, and say how to upload an offline one."""
    import wandb  # type: ignore[import-not-found]  # an extra

    session = logger.experiment
    folder, offline = Path(session.dir).parent, session.offline
    artifact = wandb.Artifact(f"run-{logger.version}", type="run")
    for path in files:
        artifact.add_file(str(path))
    session.log_artifact(artifact)
    session.finish(exit_code=0 if status in ENDS else 1)
    if offline:
        say(f"  wandb        wandb sync{' --append' if resumed else ''} {folder}")


class RunLogger(Logger):
    """Writes logged values to a file of JSON lines, each with its `step`.

    Args:
        path: lines from `first_step` on are removed, as the run trains those steps again.
    """

    def __init__(self, path: Path, first_step: int) -> None:
        super().__init__()
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
        replace_text(path, "".join(line for line in lines if step_of(line) < first_step))
        self._file = path.open("a", encoding="utf-8", buffering=1)  # a killed process loses no line

    @property
    def name(self) -> str:
        return "logged"

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._file.write(json_text({"step": step, **metrics}) + "\n")

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml has them."""

    def finalize(self, status: str) -> None:
        self._file.close()


def step_of(line: str) -> float:
    """Return the step of a line, or infinity if it is incomplete."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return float("inf")


class BoardAndLoggers(TensorBoardWriter):
    """TensorBoard and the loggers, which get the samples and all curves that the task does not log itself."""

    def __init__(self, folder: Path, first_step: int, loggers: Loggers) -> None:
        super().__init__(folder, first_step)
        self.loggers = loggers

    def scalars(self, step: int, values: dict[str, float]) -> None:
        super().scalars(step, values)
        rest = {tag: value for tag, value in values.items() if tag not in LOGGED}
        if rest:
            self.loggers.scalars(step, rest)

    def text(self, step: int, tag: str, text: str) -> None:
        super().text(step, tag, text)
        self.loggers.text(step, tag, text)
