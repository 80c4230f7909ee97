"""Type guards for values that were read from JSON, YAML or a checkpoint."""

from typing import Any, TypeGuard


def is_mapping(value: Any) -> TypeGuard[dict[Any, Any]]:
    """Whether this is a mapping, with keys and values of any type."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether this is a list, with items of any type."""
    return isinstance(value, list)
