"""Binarization schemes as the estimator knows them, and what a network is under another one.

    scheme    weight planes   activation planes   1x1 shortcuts   elementwise operations
    pa        M, disjoint     N                   binary          by the rule (paconv.cost.rules)
    abc       M, independent  N                   binary          by the rule
    bireal    1               1                   real            none
    xnor      1               1                   real            2 multiplications per output: K and alpha
    float     -               -                   real            -

xnor: W*I ~ (sign(I) (*) sign(W)) . K alpha, two real factors for each output. On ResNet18 that is 1.670e8
Flops, which the paper's Table 7 prints for Bi-Real Net.

Real in every scheme, as paconv.convert leaves them: the first convolution, depthwise and transposed
convolutions, and linear layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from paconv.bits import MAX_PLANES
from paconv.cost.layers import CONV, Layer, Network, Planes
from paconv.errors import UsageError

__all__ = ["SCHEMES", "Scheme", "layer_scheme", "under_scheme"]


@dataclass(frozen=True)
class Scheme:
    """planes: (M, N) where the scheme fixes them; multiplications_per_output: None where the rule decides."""

    name: str
    meaning: str
    planes: tuple[int, int] | None = None
    default: tuple[int, int] = (1, 1)
    binary: bool = True
    disjoint: bool = False
    even: bool = False
    real_shortcuts: bool = False
    multiplications_per_output: int | None = None
    gate: str = "XNOR"


SCHEMES = {
    "pa": Scheme("pa", "piecewise approximation", default=(4, 5), disjoint=True, even=True, gate="AND"),
    "abc": Scheme("abc", "ABC-Net: M and N independent +-1 bases", default=(5, 5)),
    "bireal": Scheme(
        "bireal", "Bi-Real Net", planes=(1, 1), real_shortcuts=True, multiplications_per_output=0
    ),
    "xnor": Scheme("xnor", "XNOR-Net", planes=(1, 1), real_shortcuts=True, multiplications_per_output=2),
    "float": Scheme("float", "full precision", binary=False),
}


def under_scheme(
    network: Network,
    scheme: str,
    M: int | None = None,
    N: int | None = None,
    *,
    full_activations: bool = False,
    keep_real: Sequence[str] = (),
) -> Network:
    """The network with the scheme's planes on every layer that the scheme binarizes.

    M, N: planes; the scheme's default where None. full_activations: N is full precision, for weights-only PA.
    keep_real: names of layers that stay real, with * and ? as wildcards.
    Raises UsageError on an unknown scheme, planes it can't have, or a name that fits no convolution.
    """
    if scheme not in SCHEMES:
        raise UsageError(f"scheme: expected {', '.join(SCHEMES)}; found {scheme}")
    chosen = SCHEMES[scheme]
    for pattern in keep_real:
        if not any(layer.is_convolution and fnmatchcase(layer.name, pattern) for layer in network):
            names = ", ".join(layer.name for layer in network if layer.is_convolution)
            raise UsageError(f"layers to keep real: expected a name or pattern of {names}; found {pattern}")
    planes = _planes(chosen, M, N, full_activations) if chosen.binary else None
    first = next((layer for layer in network if layer.is_convolution), None)
    layers = []
    for layer in network:
        eligible = (
            layer.kind == CONV
            and layer is not first
            and not layer.is_depthwise
            and not (layer.shortcut and chosen.real_shortcuts)
            and not any(fnmatchcase(layer.name, pattern) for pattern in keep_real)
        )
        layers.append(replace(layer, planes=planes if eligible else None))
    return replace(network, layers=tuple(layers))


def _planes(scheme: Scheme, M: int | None, N: int | None, full_activations: bool) -> Planes:
    if scheme.planes is not None and (M not in (None, scheme.planes[0]) or N not in (None, scheme.planes[1])):
        raise UsageError(f"scheme {scheme.name} has M=N=1; found M={M}, N={N}")
    default_M, default_N = scheme.planes or scheme.default
    M, N = (default_M if M is None else M), (default_N if N is None else N)
    for name, planes in (("M", M), ("N", N)):
        if not 1 <= planes <= MAX_PLANES:
            raise UsageError(f"{name}: expected 1 to {MAX_PLANES} planes; found {name}={planes}")
    if scheme.even and M % 2:
        raise UsageError(
            f"scheme {scheme.name}: expected an even M, as its weight endpoints lie symmetrically around 0; found M={M}"
        )
    if full_activations:
        if not scheme.disjoint:
            raise UsageError(f"scheme {scheme.name} binarizes activations; only pa has N=full")
        return Planes(scheme.name, M, None, endpoints=0, weight_levels=M + 1)
    return Planes(scheme.name, M, N, endpoints=N, weight_levels=M + 1 if scheme.disjoint else 2**M)


def layer_scheme(layer: Layer) -> Scheme:
    """The scheme of one layer."""
    return SCHEMES["float" if layer.planes is None else layer.planes.scheme]
