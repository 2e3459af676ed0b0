"""The shape of a model's inputs, without the batch: (C, H, W), or several such shapes for a model of several inputs."""

from __future__ import annotations

from math import prod

from paconv.errors import UsageError

__all__ = ["MAX_VALUES", "Shape", "checked_shapes", "parse_shape"]

Shape = tuple[int, ...]

MAX_VALUES = 1 << 28
"""Values in one input: 1 GiB of float32. More is a slip of the pen."""


def checked_shapes(shape) -> tuple[Shape, ...]:
    """`shape` (ints) or a sequence of such shapes -> one tuple of ints an input. Raises UsageError on anything else."""
    if isinstance(shape, (list, tuple)) and shape and all(isinstance(s, (list, tuple)) for s in shape):
        return tuple(_checked(s) for s in shape)
    return (_checked(shape),)


def parse_shape(text: str) -> Shape:
    """ "3x224x224" or "3,224,224" -> (3, 224, 224). Raises UsageError on anything else."""
    try:
        shape = [int(size) for size in text.lower().replace("x", ",").split(",")]
    except ValueError as error:
        raise UsageError(f"input shape: expected CxHxW such as 3x224x224, found {text!r}") from error
    return _checked(shape)


def _checked(shape) -> Shape:
    sizes = tuple(shape) if isinstance(shape, (list, tuple)) else ()
    if not sizes or not all(type(size) is int and size > 0 for size in sizes):
        raise UsageError(f"input shape: expected positive integers such as (3, 224, 224), found {shape!r}")
    if prod(sizes) > MAX_VALUES:
        raise UsageError(f"input shape: expected at most {MAX_VALUES} values, found {'x'.join(map(str, sizes))}")
    return sizes
