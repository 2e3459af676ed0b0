"""Latency under Table 8's model: hardware that works on all outputs and all bases at the same time.

With n = c_in h w products in a window (C/g KH KW), one convolution takes

    full precision   n T_mul + (n-1) T_add
    Bi-Real          n (T_XNOR + T_pop) + T_mul
    PA               n (T_AND + T_pop) + N T_mul + (N-1) T_add + T_com

N = 5 gives the table's 5 T_mul + 4 T_add + T_com. The M branches run in parallel; as in the paper, the sum
across them is left out. ABC-Net is PA with XNOR gates. Real layers of a binary network, linear layers and
layers with full-precision activations take full precision's time; batch norms, pooling and sums take none.

A network's latency is the sum over its layers, one after the other: a downsampling layer isn't overlapped
with the convolutions it stands beside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from paconv.cost.schemes import layer_scheme
from paconv.network.layers import BATCH_NORM, Layer, Network

__all__ = ["OPERATIONS", "Delay", "full_precision", "layer_delay", "network_delay", "single_bit", "speedup_limit",
           "with_planes"]  # fmt: skip

OPERATIONS = ("AND", "XNOR", "pop", "mul", "add", "com")
"""The T's of Table 8: delays of one operation, in any one unit of time."""


@dataclass(frozen=True)
class Delay:
    """known + sum over operations of counts[op] T_op: a latency in which some T's may still be symbols."""

    counts: Mapping[str, float]
    """Operation -> how many of it, for those whose T is a symbol."""
    known: float = 0.0
    """The sum over the others, whose T has a value."""

    def __add__(self, other: Delay) -> Delay:
        return Delay(Counter(self.counts) + Counter(other.counts), self.known + other.known)

    def at(self, times: Mapping[str, float]) -> Delay:
        """The latency with the T's in `times` (operation -> time) put in."""
        known = self.known + sum(count * times[op] for op, count in self.counts.items() if op in times)
        return Delay({op: count for op, count in self.counts.items() if op not in times}, known)

    @property
    def value(self) -> float | None:
        """The latency as a number, None while a T is a symbol."""
        return None if any(self.counts.values()) else self.known

    def __str__(self) -> str:
        terms = [f"{self.known:,.2f}".rstrip("0").rstrip(".")] if self.known else []
        for op in OPERATIONS:
            count = self.counts.get(op, 0)
            if count:
                terms.append(f"T_{op}" if count == 1 else f"{count:,} T_{op}")
        return " + ".join(terms) or "0"


def full_precision(n: int) -> Delay:
    """n T_mul + (n-1) T_add."""
    return Delay({"mul": n, "add": n - 1})


def single_bit(n: int) -> Delay:
    """Bi-Real's n (T_XNOR + T_pop) + T_mul."""
    return Delay({"XNOR": n, "pop": n, "mul": 1})


def with_planes(n: int, N: int, gate: str = "AND") -> Delay:
    """PA's n (T_AND + T_pop) + N T_mul + (N-1) T_add + T_com; with gate XNOR, ABC-Net's."""
    return Delay({gate: n, "pop": n, "mul": N, "add": N - 1, "com": 1})


def layer_delay(layer: Layer) -> Delay:
    """Latency of one layer as it is."""
    if layer.kind == BATCH_NORM:
        return Delay({})
    if layer.planes is None or layer.planes.N is None:
        return full_precision(layer.window)
    scheme = layer_scheme(layer)
    if scheme.fixed is not None:
        return single_bit(layer.window)
    return with_planes(layer.window, layer.planes.N, scheme.gate)


def network_delay(network: Network) -> Delay:
    """Latency of the layers one after the other."""
    return sum((layer_delay(layer) for layer in network), Delay({}))


def speedup_limit(gate: str, times: Mapping[str, float]) -> str | float:
    """(T_mul + T_add) / (T_gate + T_pop), what the speedup over full precision comes to for large n."""
    above, below = (Delay({"mul": 1, "add": 1}).at(times), Delay({gate: 1, "pop": 1}).at(times))
    if above.value is not None and below.value:
        return above.value / below.value
    return f"({above}) / ({below})"
