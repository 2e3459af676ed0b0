"""Which arguments of `forward` the inputs of a network are.

Inputs in order are the positional arguments, then what *args takes, then keyword-only ones without a default. By name
they may be any, those that **kwargs takes among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature, signature
from itertools import takewhile
from typing import Any, TypeVar

from torch import nn

from paconv.errors import ExportError

__all__ = ["Place", "by_parameter", "called_with", "places_of"]

Value = TypeVar("Value")


@dataclass(frozen=True)
class Place:
    """Where an input goes."""

    index: int
    """Of the input, as it was given."""
    parameter: str
    """Its parameter of `forward`."""
    kind: Any
    """Parameter.POSITIONAL_OR_KEYWORD, VAR_POSITIONAL, ..."""
    by_keyword: bool = False
    """Whether it is given by its name."""


def places_of(model: nn.Module, count: int, names: Sequence[str] | None) -> list[Place]:
    """The places of `count` inputs, in the order of the parameters of `forward`.

    names: their arguments' names; None for the order. Where **kwargs takes some of them, `model` gets a forward that
    has them as parameters, in place: torch.export knows no dynamic shapes in **kwargs. Raises ExportError for a name
    that `forward` doesn't take, and for more inputs than it has arguments.
    """
    parameters = list(signature(model.forward).parameters.values())
    if names is not None:
        others = next((p for p in parameters if p.kind is Parameter.VAR_KEYWORD), None)
        more = [name for name in names if name not in {p.name for p in parameters}]
        if others is not None and more:
            parameters.remove(others)
            parameters += [Parameter(name, Parameter.KEYWORD_ONLY) for name in more if name.isidentifier()]
            model.forward = _with_signature(model.forward, Signature(parameters))
        return _named(parameters, names)
    positional = [p for p in parameters if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    rest = next((p for p in parameters if p.kind is Parameter.VAR_POSITIONAL), None)
    keywords = [p for p in parameters if p.kind is Parameter.KEYWORD_ONLY and p.default is Parameter.empty]
    found = positional[:count]
    if rest is not None:
        found += [rest] * max(0, count - len(positional) - len(keywords))
    found += keywords[: count - len(found)]
    if len(found) < count:
        hint = "; give inputs of **kwargs by name" if any(p.kind is Parameter.VAR_KEYWORD for p in parameters) else ""
        raise ExportError(f"forward takes {len(found)} inputs, found shapes of {count}{hint}")
    return [Place(i, p.name, p.kind, p.kind is Parameter.KEYWORD_ONLY) for i, p in enumerate(found)]


def _with_signature(forward: Callable, shown: Signature) -> Callable:
    def called(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **kwargs)

    called.__signature__ = shown  # type: ignore[attr-defined]
    return called


def _named(parameters: Sequence[Parameter], names: Sequence[str]) -> list[Place]:
    own = {p.name: p for p in parameters if p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)}
    if strange := [name for name in names if name not in own]:
        raise ExportError(f"forward has no argument {strange[0]}; it has {', '.join(own) or 'none'}")
    positional = [name for name, p in own.items() if p.kind is not Parameter.KEYWORD_ONLY]
    in_order = list(takewhile(names.__contains__, positional))  # up to the first that keeps its default
    found = [name for name in own if name in names]
    return [Place(names.index(name), name, own[name].kind, name not in in_order) for name in found]


def called_with(places: Sequence[Place], values: Sequence[Value]) -> tuple[tuple[Value, ...], dict[str, Value]]:
    """The positional and the keyword arguments of a call; values: those of `places`."""
    args, kwargs = [], {}
    for place, value in zip(places, values, strict=True):
        if place.by_keyword:
            kwargs[place.parameter] = value
        else:
            args.append(value)
    return tuple(args), kwargs


def by_parameter(places: Sequence[Place], values: Sequence[Value]) -> dict[str, Any]:
    """The values of `places` as torch.export takes them: by name of the parameter, those of *args as a tuple."""
    found: dict[str, Any] = {}
    for place, value in zip(places, values, strict=True):
        if place.kind is Parameter.VAR_POSITIONAL:
            found[place.parameter] = (*found.get(place.parameter, ()), value)
        else:
            found[place.parameter] = value
    return found
