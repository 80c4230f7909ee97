"""`rnnscope gradcheck`: all gradients of a model against finite differences."""

import re

from hydra.core.hydra_config import HydraConfig

from rnnscope.config.schema import GradcheckConfig, refuse_without_effect
from rnnscope.errors import UserError, check_seed

DROPPING = ("dropout", "input_dropout", "embedding_dropout", "weight_drop")


def run(config: GradcheckConfig) -> int:
    """Print a row for each parameter and return the exit status: 1 if a gradient is wrong."""
    from rnnscope.analysis.gradcheck import TOLERANCE, check_gradients, table

    if not config.max_minutes > 0:
        raise UserError(f"max_minutes={config.max_minutes} must be above 0")
    check_seed(config.seed)
    if config.run is not None:
        refuse_without_effect(config, ["vocabulary_size"], "to run=")
        refuse_model_keys()
    rows = check_gradients(config)
    if config.run is None and any(getattr(config.model, key) for key in DROPPING):
        print("dropout is turned off, as it would be different in each pass")
    wrong = [row.name for row in rows if not row.holds]
    print("\n".join(table(rows)))
    print(f"\n{'wrong: ' + ', '.join(wrong) if wrong else 'all gradients hold'} (tolerance {TOLERANCE:g})")
    return int(bool(wrong))


def refuse_model_keys() -> None:
    """Refuse keys of a new model on a command line that names a run.

    Raises:
        UserError: naming the first of them.
    """
    for word in HydraConfig.get().overrides.task if HydraConfig.initialized() else ():
        if re.match(r"\+*model[.=]", word):
            raise UserError(f"{word} does not apply to run=; leave it out")
