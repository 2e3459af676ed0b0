"""Decisions: the level of each activation by the PABitConv's endpoints, and by the reference's.

They may differ only where the reference's own float32 rounding decides: the exact a = s x + b lies within its rounding
bound of the endpoint, or is too large for float32. Such *flips* are counted. The level itself must be that of the exact
a (in float64), on the X at hand and on every endpoint of every channel and the floats beside it: so for any X.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paconv.reference import activation_levels
from paconv.verification.bounds import Bounded, through
from paconv.verification.layers import Difference, Layer, LayerResult, first
from paconv.verification.model import OpenModel

__all__ = ["check_decisions"]


@dataclass(frozen=True)
class _Decisions:
    """Levels of activations by the PABitConv's endpoints, and by the reference's."""

    x: np.ndarray
    """What the PABitConv compares."""
    levels: np.ndarray
    """Of x, by its endpoints."""
    exact: np.ndarray
    """Of the exact a, by the reference's endpoints."""
    a: Bounded
    """The reference's value before quantization, exact, with its bound."""
    distance: np.ndarray
    """|a - nearest endpoint|."""

    def within(self, part: float) -> np.ndarray:
        """Where the endpoint is no further than this part of the bound.

        A value without rounding has no such excuse, even where it lies exactly on the endpoint.
        """
        bound = np.asarray(self.a.error) * part
        return (self.distance <= bound) & (bound > 0)

    @property
    def wrong(self) -> str | None:
        """Where the levels aren't those of the exact value; 2**-29 u is the rounding error of float64."""
        differs = (self.levels != self.exact) & ~self.within(2.0**-29)
        if not differs.any():
            return None
        at = first(differs)
        return (
            f"{int(differs.sum())} of {self.levels.size} are not those of the exact value, first at {at}: level "
            f"{self.levels[at]} instead of {self.exact[at]} for x = {self.x[at]}, a = {self.a.value[at]}"
        )


def _decide(layer: Layer, reference: OpenModel, x: np.ndarray) -> _Decisions:
    a = Bounded(x.astype(np.float64))
    for node, source in reference.path(layer.X, layer.activation.input[0]):
        a = through(node, a, reference.constants, source)
    levels = activation_levels(x, layer.parameters["v"], layer.parameters["sign"])
    distance, exact = np.full(x.shape, np.inf), np.zeros(x.shape, np.uint8)
    for endpoint in reference.constants[layer.activation.input[1]].astype(np.float64):
        exact += a.value >= endpoint
        np.minimum(distance, np.abs(a.value - endpoint), out=distance, where=~np.isnan(a.value))
    return _Decisions(x, levels, exact, a, distance)


def _beside_endpoints(layer: Layer, channels: int) -> np.ndarray:
    """(1, C, 3, E) float32: each endpoint of each channel and the floats beside it, where decisions turn."""
    v = np.broadcast_to(layer.parameters["v"], (channels, layer.parameters["v"].shape[1]))
    v = np.where(np.isfinite(v), v, np.float32(0))
    with np.errstate(over="ignore", under="ignore"):
        sides = [np.nextafter(v, np.float32(-np.inf)), v, np.nextafter(v, np.float32(np.inf))]
    sign = layer.parameters["sign"].astype(np.float32)
    return (np.stack(sides, 1) * np.broadcast_to(sign, channels)[:, None, None])[None]


def check_decisions(
    layer: Layer, levels: np.ndarray, reference: OpenModel, values: dict[str, np.ndarray], result: LayerResult
) -> None:
    """Compare `levels` (B, C, H, W), those of the layer's X, with the reference's; the numbers go into `result`."""
    beside = _decide(layer, reference, _beside_endpoints(layer, levels.shape[1])).wrong
    if beside:
        raise Difference(f"decisions beside the endpoints: {beside}")
    found = _decide(layer, reference, values[layer.X])
    if found.wrong:
        raise Difference(f"decisions: {found.wrong}")
    A, decided = values[layer.A], values[layer.real_levels][levels]
    flipped = decided != A
    unexplained = flipped & ~found.within(1.0) & ~np.asarray(found.a.lost)
    result.decisions, result.flips = levels.size, int(flipped.sum())
    if unexplained.any():
        at = first(unexplained)
        raise Difference(
            f"decisions: {int(unexplained.sum())} of {levels.size} differ beyond the reference's rounding, first at "
            f"{at}: value {decided[at]} instead of {A[at]} for x = {found.x[at]}, a = {found.a.value[at]}"
        )
