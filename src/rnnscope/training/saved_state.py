"""The state of a callback in a checkpoint. The file is not trusted, so each value is checked."""

import math
from dataclasses import dataclass
from typing import Any

from rnnscope.errors import UserError, shown

REMEDY = "delete this file, and the run resumes from the checkpoint before it"


@dataclass(frozen=True)
class SavedState:
    """What a checkpoint holds for a callback.

    Args:
        source: the file of the checkpoint, for messages.
        name: of the callback.
        value: whatever the checkpoint holds for it.

    Raises:
        UserError: from each method, for a missing or wrong value; it names the file, the callback and the key.
    """

    source: str
    name: str
    value: Any

    def number(self, key: str, finite: bool = False) -> float:
        """Return the number at `key`."""
        value = self._at(key)
        if not _is_number(value) or math.isnan(value) or (finite and math.isinf(value)):
            raise self._refused(key, value, "a finite number" if finite else "a number")
        return value

    def count(self, key: str) -> int:
        """Return the whole number at `key`, at least 0."""
        value = self._at(key)
        if type(value) is not int or not _is_number(value) or value < 0:
            raise self._refused(key, value, "a whole number of at least 0")
        return value

    def text(self, key: str) -> str | None:
        """Return the text at `key`, or None."""
        value = self._at(key)
        if value is not None and type(value) is not str:
            raise self._refused(key, value, "a text")
        return value

    def numbers(self, key: str) -> dict[str, float]:
        """Return the names and numbers at `key`; NaN is allowed, since a curve may contain it."""
        values = self._at(key)
        if not isinstance(values, dict):
            raise self._refused(key, values, "names and numbers")
        for name, value in values.items():
            if type(name) is not str:
                raise self._refused(f"a name in {key}", name, "a text")
            if not _is_number(value):
                raise self._refused(f"{shown(name)} in {key}", value, "a number")
        return dict(values)

    def has(self, key: str) -> bool:
        """Return whether there is anything at `key`."""
        return isinstance(self.value, dict) and key in self.value

    def _at(self, key: str) -> Any:
        if not self.has(key):
            raise UserError(f"{self.source}: the state of {self.name} has no {key}; {REMEDY}")
        return self.value[key]

    def _refused(self, key: str, value: Any, wanted: str) -> UserError:
        return UserError(f"{self.source}: the state of {self.name}: {key} is {shown(value)}, not {wanted}; {REMEDY}")


def _is_number(value: Any) -> bool:
    """Whether a value is a number that fits into a float."""
    return type(value) is float or (type(value) is int and value.bit_length() < 64)
