"""The architectures that paconv can build by name, so that a checkpoint needs no code of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature

from torch import nn

from paconv.errors import UsageError

__all__ = ["arguments", "build", "names", "register"]

_BUILDERS: dict[str, Callable[..., nn.Module]] = {}


def register(builder: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Decorator: make the architecture `builder` known under its function name.

    The models it builds carry `paconv_architecture`, {"name": str, "config": its keyword arguments, all
    JSON-able}, from which `build` makes the same architecture again.
    """
    name, parameters = builder.__name__, signature(builder)

    @wraps(builder)
    def recorded(*args, **kwargs) -> nn.Module:
        bound = parameters.bind(*args, **kwargs)
        bound.apply_defaults()
        model = builder(*bound.args, **bound.kwargs)
        model.paconv_architecture = {"name": name, "config": dict(bound.arguments)}  # type: ignore[assignment]
        return model

    _BUILDERS[name] = recorded
    return recorded


def names() -> list[str]:
    """Names of all known architectures, sorted."""
    return sorted(_BUILDERS)


def build(architecture: str, **config) -> nn.Module:
    """Build the architecture with that name. Raises UsageError for an unknown name or argument."""
    builder = _builder(architecture)
    try:
        signature(builder).bind(**config)
    except TypeError as error:
        raise UsageError(f"architecture {architecture}: {error}; it takes {signature(builder)}") from error
    return builder(**config)


def arguments(architecture: str) -> tuple[str, ...]:
    """Names of what `build` takes beside the architecture's. Raises UsageError for an unknown one."""
    return tuple(signature(_builder(architecture)).parameters)


def _builder(architecture: str) -> Callable[..., nn.Module]:
    if architecture not in _BUILDERS:
        raise UsageError(f"no architecture is called {architecture!r}; known are {', '.join(names())}")
    return _BUILDERS[architecture]
