"""What the first of several processes tells the others before the first step, and what they make of it."""

from typing import Any

from rnnscope.errors import UserError
from rnnscope.pipeline.build import Training
from rnnscope.training.randomness import restore_random_state


def opening(training: Training, others: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what process 0 tells; `others` are their own parts of the checkpoint that it goes on from, none in a new run."""
    return {
        "checks": checks(training),
        "weights": training.model.state_dict(),
        "task": training.task.capture(),
        "others": others,
    }


def checks(training: Training) -> dict[str, Any]:
    """Return what must be the same in all processes."""
    hardware = training.hardware
    known = {"device": hardware.device.type, "precision": hardware.precision, "horizon": training.horizon}
    return {**known, "text": training.data.fingerprint["streams"]}


def join(training: Training, told: dict[str, Any]) -> None:
    """Make everything as it is in process 0, except what is this process's own: its columns' state, its random numbers.

    Raises:
        UserError: when the two would not train the same.
    """
    rank = training.hardware.processes.rank
    for key, value in checks(training).items():
        if value != told["checks"][key]:
            raise UserError(f"process {rank} has another {key} than process 0: {value}, there {told['checks'][key]}")
    own = told["others"][rank - 1] if told["others"] else None
    training.model.load_state_dict(told["weights"])
    training.task.restore({**told["task"], "carried": own and own["carried"]})
    if training.task.position:
        training.windows.load_state_dict(training.task.position)
    if own:
        restore_random_state(own["random"])
