"""A quantized network's predicted time beside that of its float parent: what to know before it is trained.

A layer is slower than float where its kernel is predicted to take longer than onnxruntime's float convolution. What
most of its time goes into says what may help; leaving it real always does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from paconv.cost.host.fit import seconds
from paconv.cost.host.kernels import FLOAT, LEVEL_CODES, has_planes, network_seconds, own_kernel
from paconv.cost.host.model import HostModel
from paconv.cost.host.work import bit_work, code_work, filling
from paconv.cost.schemes import under_scheme
from paconv.cost.units import duration
from paconv.network.layers import Layer, Network

__all__ = ["SlowLayer", "Speed", "speed_of"]

_WORST = 3
"""Slower layers that are named."""

_EQUAL = 1.005
"""Factor up to which two times are printed as equal, and are taken to be."""

_FILLED = 0.8
"""A layer that fills less of its vectors and words than this loses by it, whatever else it loses by."""

_READING = ("row_endpoint", "element_endpoint", "element")

_HELP = {
    "channels": ("its channels don't fill the lanes", "channels in multiples of 16 out and 4 in, per group"),
    "input": ("comparing its input outweighs its products", "more output channels or fewer levels (N)"),
    "output": ("scaling its output outweighs its products", "more input channels"),
    "products": ("its products take longer than float's", "fewer levels (M, N)"),
    "start": ("it is too small", ""),
}
"""Cause -> in words, and what would help beside leaving the layer real."""


@dataclass(frozen=True)
class SlowLayer:
    """A layer that is predicted slower than in float."""

    name: str
    """The layer's name."""
    seconds: float
    """Per call."""
    float_seconds: float
    """Per call, in full precision."""
    cause: str
    """A key of _HELP."""

    @property
    def ratio(self) -> float:
        """The float layer's time over this one's, below 1."""
        return self.float_seconds / self.seconds

    def as_data(self) -> dict[str, Any]:
        why, helps = _HELP[self.cause]
        return {**asdict(self), "ratio": self.ratio, "why": why, "helps": ["leaving it real", *filter(None, [helps])]}


@dataclass(frozen=True)
class Speed:
    """A network's predicted time; `str` is a line, and a second if it or some of its layers are slower than float."""

    seconds: float
    """Per call."""
    float_seconds: float
    """Per call, in full precision."""
    slower: tuple[SlowLayer, ...]
    """The layers that are slower than float, by what they lose."""
    left_real: float | None
    """Seconds per call with the layers in `slower` in float; None if there are none."""
    batch: int
    """Samples per call."""
    threads: int
    """Of the call."""
    rates: str = ""
    """Whose rates the prediction is from, in words; "" if that is reported elsewhere."""

    @property
    def ratio(self) -> float:
        """The float network's time over this one's."""
        return self.float_seconds / self.seconds

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """One line, or two."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        about = ", ".join(filter(None, (f"batch {self.batch}", threads, self.rates)))
        first = f"predicted: {duration(self.seconds)}, float {duration(self.float_seconds)}: "
        lines = [f"{first}{_faster(self.ratio)} ({about})"]
        if self.slower:
            lines.append(self._slower())
        elif self.ratio * _EQUAL < 1:
            lines.append(
                "slower than float, though no layer is: additions and activations between layers take longer, which "
                "onnxruntime fuses into float convolutions alone"
            )
        return lines

    def as_data(self) -> dict[str, Any]:
        """All of it as plain data, times in seconds."""
        return {
            "predicted": self.seconds,
            "float": self.float_seconds,
            "ratio": self.ratio,
            "batch": self.batch,
            "threads": self.threads,
            "slower_layers": [layer.as_data() for layer in self.slower],
            "with_these_left_real": self.left_real,
        }

    def _slower(self) -> str:
        worst = self.slower[:_WORST]
        named = ", ".join(f"{layer.name} ({layer.ratio:.2f}x: {_HELP[layer.cause][0]})" for layer in worst)
        more = len(self.slower) - len(worst)
        named += f", and {more} more" if more else ""
        assert self.left_real is not None
        real = _faster(self.float_seconds / self.left_real)
        helps = list(dict.fromkeys(filter(None, (_HELP[layer.cause][1] for layer in worst))))
        also = f"; what may help too: {'; '.join(helps)}" if helps else ""
        return (
            f"slower than float: {named}; left real (paconv.convert's keep, --keep-real of paconv cost) the network "
            f"takes {duration(self.left_real)}, {real}{also}"
        )


def speed_of(host: HostModel, network: Network, rates: str = "") -> Speed:
    """The network's predicted speed on this host, whose rates are there for its planes.

    What isn't modelled is left out of both times (network_seconds). Raises UsageError for schemes other than PA.
    """
    slower = sorted(_slower_layers(host, network), key=lambda layer: layer.float_seconds - layer.seconds)
    own, real = network_seconds(host, network)[0], network_seconds(host, under_scheme(network, "float"))[0]
    left = None
    if slower:
        names = {layer.name for layer in slower}
        layers = (replace(la, planes=None) if la.name in names else la for la in network)
        left = network_seconds(host, replace(network, layers=tuple(layers)))[0]
    return Speed(own, real, tuple(slower), left, network.batch, host.threads, rates)


def _slower_layers(host: HostModel, network: Network) -> Iterable[SlowLayer]:
    for layer in filter(has_planes, network):
        own, real = own_kernel(host, layer).predict(host, layer), FLOAT.predict(host, layer)
        if own is not None and real is not None and own > _EQUAL * real:
            yield SlowLayer(layer.name, own, real, _cause(host, layer))


def _cause(host: HostModel, layer: Layer) -> str:
    """What most of a layer's time goes into, a key of _HELP."""
    if filling(layer) < _FILLED:
        return "channels"
    assert layer.planes is not None and layer.planes.N is not None
    M, N = layer.planes.M, layer.planes.N
    if own_kernel(host, layer) is LEVEL_CODES:
        work, rates, products = code_work(layer, N), host.codes, "product"
    else:
        work, rates, products = bit_work(layer, M, N), {**host.gather, **host.planes[M, N]}, "word"
    shares = {
        "input": seconds({unit: work[unit] for unit in _READING if unit in work}, rates),
        "output": seconds({"output": work["output"]}, rates),
        "products": seconds({products: work[products]}, rates),
        "start": seconds({"node": work["node"]}, rates),
    }
    return max(shares, key=lambda cause: shares[cause])


def _faster(ratio: float) -> str:
    """3.21 -> 3.2x faster; 0.8 -> 1.25x slower."""
    factor = max(ratio, 1 / ratio)
    if factor < _EQUAL:
        return "as fast"
    return f"{factor:.{1 if factor >= 2 else 2}f}x {'faster' if ratio > 1 else 'slower'}"
