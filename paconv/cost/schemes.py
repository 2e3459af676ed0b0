"""What a network is under another scheme of paconv.schemes.

Real in every scheme, as paconv.convert leaves them: the first convolution, depthwise and transposed
convolutions, and linear layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from paconv.errors import UsageError
from paconv.network.layers import CONV, Layer, Network, Planes
from paconv.schemes import FLOAT, SCHEMES, SchemeRecord

__all__ = ["layer_scheme", "under_scheme"]


def under_scheme(
    network: Network,
    scheme: str,
    M: int | None = None,
    N: int | None = None,
    *,
    full_activations: bool = False,
    digits: bool = False,
    keep_real: Sequence[str] = (),
) -> Network:
    """The network with the scheme's planes on every layer that the scheme binarizes.

    Args:
        network: Layers with shapes.
        scheme: A key of SCHEMES.
        M: Weight planes; None is the scheme's default.
        N: Activation planes; None is the scheme's default.
        full_activations: N is full precision, where the scheme has that.
        digits: The planes are the binary digits of evenly spaced levels, as `paconv quantize` makes PA's.
        keep_real: Names of layers that stay real, with * and ? as wildcards.

    Raises:
        UsageError: The scheme is unknown or can't have these planes, or a name fits no convolution.
    """
    if scheme not in SCHEMES:
        raise UsageError(f"scheme: expected {', '.join(SCHEMES)}; found {scheme}")
    chosen = SCHEMES[scheme]
    for pattern in keep_real:
        if not any(layer.is_convolution and fnmatchcase(layer.name, pattern) for layer in network):
            names = ", ".join(layer.name for layer in network if layer.is_convolution)
            raise UsageError(f"layers to keep real: expected a name or pattern of {names}; found {pattern}")
    planes = _planes(chosen, M, N, full_activations) if chosen.binary else None
    if digits and planes is not None:
        endpoints = 0 if planes.N is None else 2**planes.N - 1
        planes = replace(planes, endpoints=endpoints, weight_levels=2**planes.M)
    first = next((layer for layer in network if layer.is_convolution), None)
    layers = []
    for layer in network:
        eligible = (
            layer.kind == CONV
            and not layer.computed_weights
            and layer is not first
            and not layer.is_depthwise
            and not (layer.shortcut and chosen.real_shortcuts)
            and not any(fnmatchcase(layer.name, pattern) for pattern in keep_real)
        )
        layers.append(replace(layer, planes=planes if eligible else None))
    return replace(network, layers=tuple(layers))


def _planes(scheme: SchemeRecord, M: int | None, N: int | None, full_activations: bool) -> Planes:
    if full_activations and not scheme.full_activations:
        raise UsageError(f"scheme {scheme.name} binarizes activations; it has no N=full")
    if scheme.fixed is not None:
        _check_fixed(scheme.name, scheme.fixed, M, N)
    chosen_M = scheme.default[0] if M is None else M
    chosen_N = scheme.default[1] if N is None else N
    for name, planes, most in (("M", chosen_M, scheme.M[-1]), ("N", chosen_N, scheme.most_N)):
        if planes is not None and not 1 <= planes <= most:
            raise UsageError(f"{name}: expected 1 to {most} planes; found {name}={planes}")
    if full_activations:
        chosen_N = None
    levels, endpoints = scheme.weight_levels(chosen_M), scheme.endpoints(chosen_N)
    return Planes(scheme.name, chosen_M, chosen_N, endpoints=endpoints, weight_levels=levels)


def _check_fixed(scheme: str, fixed: tuple[int, int | None], M: int | None, N: int | None) -> None:
    if M not in (None, fixed[0]) or N not in (None, fixed[1]):
        has = "M=N=1" if fixed == (1, 1) else f"M={fixed[0]} and full-precision activations"
        raise UsageError(f"scheme {scheme} has {has}; found M={M}, N={N}")


def layer_scheme(layer: Layer) -> SchemeRecord:
    """The scheme of one layer."""
    return FLOAT if layer.planes is None else SCHEMES[layer.planes.scheme]
