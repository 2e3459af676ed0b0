"""Quantization schemes as the estimator knows them, and what a network is under another one.

    scheme    weight planes   activation planes   endpoints   1x1 shortcuts   elementwise operations
    pa        M, disjoint     N                   N           binary          by the rule (paconv.cost.rules)
    abc       M, nested       N, nested           N           binary          by the rule
    groupnet  M, independent  1                   1           real            by the rule
    bireal    1               1                   1           real            none
    xnor      1               1                   1           real            2 multiplications per output: K and alpha
    dorefa    M, digits       N, digits           2^N - 1     binary          by the rule
    lqnet     M, digits       N, digits           2^N - 1     binary          by the rule
    syq       1, or 2 disjoint  N, digits         2^N - 1     binary          by the rule
    bwn       1               -                   -           binary          -
    twn, ttq  2, disjoint     -                   -           binary          -
    float     -               -                   -           real            -

Disjoint or nested planes have M + 1 weight levels, independent ones and binary digits 2^M. xnor: W*I ~
(sign(I) (*) sign(W)) . K alpha, two real factors for each output. On ResNet18 that is 1.670e8 Flops, which the paper's
Table 7 prints for Bi-Real Net.

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
    """planes: (M, N) where the scheme fixes them, N None for full precision; independent: 2^M weight levels,
    else M + 1; digits: 2^N - 1 endpoints, else N; most: largest M and N; multiplications_per_output: None where the
    rule decides.
    """

    name: str
    meaning: str
    planes: tuple[int, int | None] | None = None
    default: tuple[int, int] = (1, 1)
    binary: bool = True
    independent: bool = False
    digits: bool = False
    most: tuple[int, int] = (MAX_PLANES, MAX_PLANES)
    even: bool = False
    full_activations: bool = False
    real_shortcuts: bool = False
    multiplications_per_output: int | None = None
    gate: str = "XNOR"


_ALL = (
    Scheme("pa", "piecewise approximation", default=(4, 5), even=True, full_activations=True, gate="AND"),
    Scheme("abc", "ABC-Net: M and N nested +-1 bases", default=(5, 5), full_activations=True),
    Scheme("groupnet", "Group-Net: M convolutions of one bit, added", default=(5, 1), independent=True,
           most=(MAX_PLANES, 1), real_shortcuts=True),
    Scheme("bireal", "Bi-Real Net", planes=(1, 1), real_shortcuts=True, multiplications_per_output=0),
    Scheme("xnor", "XNOR-Net", planes=(1, 1), real_shortcuts=True, multiplications_per_output=2),
    Scheme("dorefa", "DoReFa-Net: M and N bits", default=(2, 2), independent=True, digits=True, full_activations=True,
           gate="AND"),
    Scheme("lqnet", "LQ-Net: M and N learned bits", default=(2, 2), independent=True, digits=True,
           full_activations=True, gate="AND"),
    Scheme("syq", "SYQ: binary or ternary weights, N bits", default=(1, 8), digits=True, most=(2, MAX_PLANES),
           full_activations=True, gate="AND"),
    Scheme("bwn", "BWN: binary weights", planes=(1, None)),
    Scheme("twn", "TWN: ternary weights", planes=(2, None)),
    Scheme("ttq", "TTQ: trained ternary weights", planes=(2, None)),
    Scheme("float", "full precision", binary=False),
)  # fmt: skip

SCHEMES = {scheme.name: scheme for scheme in _ALL}


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

    M, N: planes; the scheme's default where None. full_activations: N is full precision, where the scheme has that.
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
    if scheme.planes is not None:
        return _fixed_planes(scheme, scheme.planes, M, N)
    M, N = (scheme.default[0] if M is None else M), (scheme.default[1] if N is None else N)
    for name, planes, most in (("M", M, scheme.most[0]), ("N", N, scheme.most[1])):
        if not 1 <= planes <= most:
            raise UsageError(f"{name}: expected 1 to {most} planes; found {name}={planes}")
    if scheme.even and M % 2:
        raise UsageError(
            f"scheme {scheme.name}: expected an even M, as its weight endpoints lie symmetrically around 0; found M={M}"
        )
    levels = 2**M if scheme.independent else M + 1
    if full_activations:
        if not scheme.full_activations:
            raise UsageError(f"scheme {scheme.name} binarizes activations; it has no N=full")
        return Planes(scheme.name, M, None, endpoints=0, weight_levels=levels)
    return Planes(scheme.name, M, N, endpoints=2**N - 1 if scheme.digits else N, weight_levels=levels)


def _fixed_planes(scheme: Scheme, fixed: tuple[int, int | None], M: int | None, N: int | None) -> Planes:
    if M not in (None, fixed[0]) or N not in (None, fixed[1]):
        has = "M=N=1" if fixed == (1, 1) else f"M={fixed[0]} and full-precision activations"
        raise UsageError(f"scheme {scheme.name} has {has}; found M={M}, N={N}")
    return Planes(scheme.name, *fixed, endpoints=fixed[1] or 0, weight_levels=fixed[0] + 1)


def layer_scheme(layer: Layer) -> Scheme:
    """The scheme of one layer."""
    return SCHEMES["float" if layer.planes is None else layer.planes.scheme]
