"""Values as JSON, YAML and checkpoints give them, whoever wrote those: asking what one is also tells the type checker."""

from typing import Any, TypeGuard


def is_mapping(value: Any) -> TypeGuard[dict[Any, Any]]:
    """Whether this is a mapping, of whatever."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether this is a list, of whatever."""
    return isinstance(value, list)
