"""The architectures that paconv can build by name, so that a checkpoint needs no code of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import signature

from torch import nn

from paconv.errors import UsageError
from paconv.input_shape import Shape, checked_shapes
from paconv.near import did_you_mean

__all__ = ["arguments", "build", "input_shape", "names", "register"]

Builder = Callable[..., nn.Module]


@dataclass(frozen=True)
class _Architecture:
    builder: Builder
    input_shape: Shape


_ARCHITECTURES: dict[str, _Architecture] = {}


def register(input_shape: Shape) -> Callable[[Builder], Builder]:
    """Decorator: make the architecture `builder` known under its function name.

    The models it builds carry `paconv_architecture`, {"name": str, "config": its keyword arguments, all JSON-able},
    from which `build` makes the same architecture again.

    Args:
        input_shape: (C, H, W) of the images that the architecture is meant for; it may take others too.

    Raises:
        UsageError: The shape is none.
    """
    (shape,) = checked_shapes(input_shape)

    def decorate(builder: Builder) -> Builder:
        name, parameters = builder.__name__, signature(builder)

        @wraps(builder)
        def recorded(*args, **kwargs) -> nn.Module:
            bound = parameters.bind(*args, **kwargs)
            bound.apply_defaults()
            model = builder(*bound.args, **bound.kwargs)
            model.paconv_architecture = {"name": name, "config": dict(bound.arguments)}  # type: ignore[assignment]
            return model

        _ARCHITECTURES[name] = _Architecture(recorded, shape)
        return recorded

    return decorate


def names() -> list[str]:
    """Names of all known architectures, sorted."""
    return sorted(_ARCHITECTURES)


def input_shape(architecture: str) -> Shape:
    """(C, H, W) of the images that this architecture is meant for. Raises UsageError for an unknown name."""
    return _found(architecture).input_shape


def build(architecture: str, **config) -> nn.Module:
    """The architecture with that name, newly initialized.

    Args:
        architecture: One of `names()`.
        **config: Its builder's arguments.

    Raises:
        UsageError: The name or an argument is unknown, or the builder refuses an argument.
    """
    builder = _found(architecture).builder
    try:
        signature(builder).bind(**config)
    except TypeError as error:
        raise UsageError(f"architecture {architecture}: {error}; it takes {signature(builder)}") from error
    return builder(**config)


def arguments(architecture: str) -> tuple[str, ...]:
    """Names of what `build` takes beside the architecture's. Raises UsageError for an unknown one."""
    return tuple(signature(_found(architecture).builder).parameters)


def _found(architecture: str) -> _Architecture:
    if architecture not in _ARCHITECTURES:
        raise UsageError(
            f"no architecture is called {architecture!r}; known are {', '.join(names())}"
            f"{did_you_mean(architecture, names())}"
        )
    return _ARCHITECTURES[architecture]
