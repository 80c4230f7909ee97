"""When several processes that train one model agree on what only one of them can know.

Each takes its share of the columns of every window, and all run the same code on the same numbers:

    every step               all sum their gradients and nats, so that each takes the very same optimizer step
    validation               each scores its share of the rows, and all sum what they found
    synchronization points   rank 0 says what hangs on its clock, or on a signal that it got; all give rank 0 their part of
                             a checkpoint: the state that their columns carry, their random numbers

Between synchronization points nothing is decided that could differ.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class SynchronizationPoints:
    """After which steps all processes synchronize: whenever `every` steps are done, and after those where training may end."""

    every: tuple[int, ...]
    last: tuple[int, ...] = ()

    def at(self, step: int) -> bool:
        return step in self.last or any(step % every == 0 for every in self.every)
