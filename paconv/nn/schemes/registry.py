"""The schemes by name, and making one from what a user, or a checkpoint, says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import Enum

from paconv.errors import UsageError
from paconv.near import did_you_mean
from paconv.nn.schemes.abc_net import ABC
from paconv.nn.schemes.bireal import BiReal
from paconv.nn.schemes.bwn import BWN
from paconv.nn.schemes.dorefa import DoReFa
from paconv.nn.schemes.group_net import GroupNet
from paconv.nn.schemes.group_net_layerwise import GroupNetLayerwise
from paconv.nn.schemes.lq_net import LQ
from paconv.nn.schemes.pa import PA
from paconv.nn.schemes.scheme import Scheme
from paconv.nn.schemes.syq import SYQ
from paconv.nn.schemes.ttq import TTQ
from paconv.nn.schemes.twn import TWN
from paconv.nn.schemes.xnor import XNOR

__all__ = ["DEFAULT", "SCHEMES", "Default", "make_scheme", "scheme_class", "scheme_from_config", "up_to_date"]

SCHEMES: dict[str, type[Scheme]] = {
    kind.name: kind for kind in (PA, XNOR, BWN, BiReal, ABC, GroupNet, GroupNetLayerwise, TWN, TTQ, DoReFa, SYQ, LQ)
}
"""Name -> scheme, as `paconv.convert(model, scheme=name)` takes it."""


class Default(Enum):
    """The type of DEFAULT."""

    DEFAULT = "the scheme's default"


DEFAULT = Default.DEFAULT
"""Stands for a scheme's own M or N, as None is full precision."""


def scheme_class(name: object) -> type[Scheme]:
    """The scheme called `name`. Raises UsageError for an unknown one."""
    if not isinstance(name, str) or name not in SCHEMES:
        near = did_you_mean(name, SCHEMES) if isinstance(name, str) else ""
        raise UsageError(f"scheme: expected {', '.join(SCHEMES)}; found {name!r}{near}")
    return SCHEMES[name]


def make_scheme(
    name: str = "pa", M: int | Default = DEFAULT, N: int | Default | None = DEFAULT, **parameters: object
) -> Scheme:
    """The scheme `name` with M, N and its own parameters.

    Args:
        name: A key of SCHEMES.
        M: Weight planes; DEFAULT is the scheme's own number.
        N: Activation planes, None for full precision; DEFAULT is the scheme's own number.
        **parameters: Fields of the scheme's class.

    Raises:
        UsageError: The scheme or a parameter is unknown, or a value has no meaning.
    """
    kind = scheme_class(name)
    known = [field.name for field in fields(kind) if field.name not in ("M", "N")]
    for parameter in parameters:
        if parameter not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none but M and N"
            raise UsageError(f"scheme {name} has no parameter {parameter!r}; {takes}")
    planes = {key: value for key, value in (("M", M), ("N", N)) if value is not DEFAULT}
    return kind(**planes, **parameters)  # type: ignore[arg-type]


def up_to_date(config: dict) -> dict:
    """`config` with the scheme's present name: groupnet with several bases is groupnet_layerwise now.

    What is no configuration comes back as it is.
    """
    if isinstance(config, dict) and config.get("scheme") == GroupNet.name and config.get("M") != GroupNet.M:
        return {**config, "scheme": GroupNetLayerwise.name}
    return config


def scheme_from_config(config: Mapping) -> Scheme:
    """The scheme that `paconv.convert` recorded in `config`; PA where none is named.

    Raises UsageError as make_scheme does, KeyError for a parameter that is missing and not one `added_later`.
    """
    kind = scheme_class(config["scheme"] if "scheme" in config else "pa")
    given = {**kind.added_later, **config}
    return kind(**{field.name: given[field.name] for field in fields(kind)})
