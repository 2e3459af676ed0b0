"""Copies of protobuf messages, field by field, so that large ones can be left out."""

from __future__ import annotations

from typing import Any

__all__ = ["copy_field"]


def copy_field(target: Any, field: Any, value: Any) -> None:
    """Set `field` (a descriptor) of the message `target`, where it is empty, to a copy of `value`."""
    if field.is_repeated:
        getattr(target, field.name).extend(value)
    elif field.message_type is not None:
        getattr(target, field.name).CopyFrom(value)
    else:
        setattr(target, field.name, value)
