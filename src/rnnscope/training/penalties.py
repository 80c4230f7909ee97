"""What is added to the loss so that the last layer writes small values, which change slowly: Merity et al. 2017."""

from dataclasses import dataclass

from torch import Tensor

from rnnscope.model.scoring import IGNORE


@dataclass(frozen=True)
class Penalties:
    """AR and TAR (arXiv 1708.01009), as means of squares, in which AWD-LSTM gives its alpha and beta.

    Args:
        activation: weight of the mean of h^2 after dropout, h being what the head reads.
        temporal: weight of the mean of (h_t - h_t-1)^2 before dropout.
    """

    activation: float
    temporal: float

    def __call__(self, written: Tensor, dropped: Tensor, targets: Tensor) -> Tensor:
        """Return the penalty times the number of real targets, a scalar in float32: padding adds nothing.

        Args:
            written, dropped: what the last layer hands on before and after dropout, (time, batch, hidden_size).
            targets: ids (time, batch).
        """
        real, steps = targets != IGNORE, len(targets)
        total = self.activation * (dropped.float().square().mean(-1) * real).sum()
        if not self.temporal or steps == 1:
            return total
        changes = (written[1:].float() - written[:-1].float()).square().mean(-1) * real[1:]
        return total + self.temporal * steps / (steps - 1) * changes.sum()  # of steps - 1 pairs in each column
