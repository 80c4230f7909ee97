"""Penalties on large and on quickly changing outputs of the last layer (Merity et al. 2017)."""

from dataclasses import dataclass

from torch import Tensor

from rnnscope.model.scoring import IGNORE


@dataclass(frozen=True)
class Penalties:
    """Activation regularization and its temporal variant, AR and TAR (arXiv 1708.01009), scaled as AWD-LSTM's alpha and beta.

    Args:
        activation: weight of the mean of h^2 after dropout, where h is the head's input.
        temporal: weight of the mean of (h_t - h_t-1)^2 before dropout.
    """

    activation: float
    temporal: float

    def __call__(self, written: Tensor, dropped: Tensor, targets: Tensor) -> Tensor:
        """Return the penalty times the number of targets other than padding, a float32 scalar.

        Args:
            written, dropped: the last layer's output before and after dropout, (time, batch, hidden_size).
            targets: ids (time, batch).
        """
        real, steps = targets != IGNORE, len(targets)
        total = self.activation * (dropped.float().square().mean(-1) * real).sum()
        if not self.temporal or steps == 1:
            return total
        changes = (written[1:].float() - written[:-1].float()).square().mean(-1) * real[1:]
        return total + self.temporal * steps / (steps - 1) * changes.sum()  # of steps - 1 pairs in each column
