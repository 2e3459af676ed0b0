"""Quantizers of a standard normal variable: where initial endpoints and levels come from.

Lloyd-Max quantizer of x ~ N(0, 1) restricted to x > 0 whose lowest level is pinned at 0 (eq. 10 has the value
0 below v_1). With phi the density and Phi the distribution function, it is the fixed point of

    beta_i = E[x | v_i <= x < v_{i+1}] = (phi(v_i) - phi(v_{i+1})) / (Phi(v_{i+1}) - Phi(v_i)),   v_{N+1} = inf
    v_i    = (beta_{i-1} + beta_i) / 2,   beta_0 = 0.

By symmetry the same numbers with both signs are the Lloyd-Max quantizer of the whole normal variable with 2N
levels and 0, which is the weights' case (M = 2N).

The paper's weight endpoints ("almost uniformly sampled from -2 std(W) to 2 std(W) except those near 0", Table 1 for M =
8) are, of K endpoints on one side of 0 and d = 2/K, {d/2} and {k d, k = 1..K-1}; the other side mirrors them where M is
even, K = M/2. At M = 8 this is Table 1; the rule for other M is ours. An odd M, as 3 in the paper's Figure 3, has
(M-1)/2 endpoints below 0 and one more above, which is ours too: eq. 6 has M/2 on either side.
"""

from __future__ import annotations

from functools import cache
from math import erfc, exp, inf, pi, sqrt

from paconv.errors import UsageError

__all__ = ["ENDPOINT_RULES", "gaussian_start", "half_gaussian_quantizer", "weight_endpoints"]

ENDPOINT_RULES = ("paper", "lloyd")
"""Rules for the endpoints of weights."""

_TOLERANCE = 1e-14
"""Relative movement at which the fixed point counts as reached: a few dozen roundings of float64."""


@cache
def half_gaussian_quantizer(N: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Endpoints v_1..v_N and levels beta_1..beta_N, in units of the standard deviation, both ascending.

    Raises UsageError if N is not a positive integer.
    """
    if not isinstance(N, int) or N < 1:
        raise UsageError(f"the number of activation endpoints N must be a positive integer; found {N!r}")
    v = [0.4 + 0.6 * i for i in range(N)]
    while True:
        beta = _centroids(v)
        moved = [(low + high) / 2 for low, high in zip([0.0, *beta[:-1]], beta, strict=True)]
        distance = max(abs(new - old) for new, old in zip(moved, v, strict=True))
        v = moved
        if distance <= _TOLERANCE * max(1.0, v[-1]):
            return tuple(v), tuple(_centroids(v))


def gaussian_start(N: int, negative: int = 0) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Endpoints and levels (N,) of both half Gaussians, in units of the standard deviation, ascending: `negative` of
    them below 0, mirrored, and the others above.
    """
    sides = [half_gaussian_quantizer(n) if n else ((), ()) for n in (negative, N - negative)]
    (v_below, beta_below), (v, beta) = sides
    return (*(-x for x in reversed(v_below)), *v), (*(-x for x in reversed(beta_below)), *beta)


@cache
def weight_endpoints(M: int, rule: str = "paper") -> tuple[float, ...]:
    """Endpoints u_1..u_M of weights, in units of std(W), ascending. Table 1 for M = 8 and rule "paper".

    Rule "lloyd" gives the endpoints with the least squared error on Gaussian weights, on each side of 0. Raises
    UsageError if M is no positive integer, and for an unknown rule.
    """
    if isinstance(M, bool) or not isinstance(M, int) or M < 1:
        raise UsageError(f"the number of weight endpoints M must be a positive integer; found {M!r}")
    if rule not in ENDPOINT_RULES:
        raise UsageError(f"endpoints must be one of {', '.join(ENDPOINT_RULES)}; found {rule!r}")
    below, above = _one_side(M // 2, rule), _one_side(M - M // 2, rule)
    return (*(-p for p in reversed(below)), *above)


def _one_side(K: int, rule: str) -> tuple[float, ...]:
    """The K endpoints above 0, ascending."""
    if not K:
        return ()
    if rule == "lloyd":
        return half_gaussian_quantizer(K)[0]
    d = 2.0 / K
    return (d / 2, *(k * d for k in range(1, K)))


def _centroids(v: list[float]) -> list[float]:
    return [(_density(a) - _density(b)) / (_above(a) - _above(b)) for a, b in zip(v, [*v[1:], inf], strict=True)]


def _density(x: float) -> float:
    return exp(-x * x / 2) / sqrt(2 * pi)


def _above(x: float) -> float:
    return erfc(x / sqrt(2)) / 2
