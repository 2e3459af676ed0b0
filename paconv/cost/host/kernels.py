"""The kernels whose latency is predicted, listed once: the report and the comparison go through this list.

A new kernel is a new entry: how long it takes on a host, and the one-node model that shows it. What is predicted is a
node alone, float tensors in NCHW on both sides; a network is the sum of its nodes. The nodes of a linked pa.onnx
(PALevelConv) hand each other level indexes instead, which isn't modelled. A layer has no levels here: they are taken to
lie on the default grid (paconv/grid.py). Where they lie on none, a session takes bit planes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from paconv.cost.host.fit import seconds
from paconv.cost.host.model import HostModel
from paconv.cost.host.probe import Probe, bit_conv, float_layer
from paconv.cost.host.work import bit_work, code_work, elements_moved, float_work, runs_as_codes, runs_as_planes
from paconv.errors import UsageError
from paconv.network.layers import BATCH_NORM, CONV, LINEAR, Layer, Network

__all__ = ["BIT_PLANES", "FLOAT", "KERNELS", "LEVEL_CODES", "HostKernel", "fastest_seconds", "has_planes",
           "network_seconds", "own_kernel", "planes_of"]  # fmt: skip


@dataclass(frozen=True)
class HostKernel:
    """A way to run a layer on this machine."""

    name: str
    """In data."""
    title: str
    """In print."""
    predict: Callable[[HostModel, Layer], float | None]
    """Seconds of a layer; None if the kernel can't run it."""
    probe: Callable[[Layer], Probe]
    """The layer as a model of one node, and this kernel, to be measured alone."""


def _pair(layer: Layer) -> tuple[int, int] | None:
    """(M, N), None for a layer with full-precision activations."""
    return None if layer.planes is None or layer.planes.N is None else (layer.planes.M, layer.planes.N)


def _predict_float(host: HostModel, layer: Layer) -> float | None:
    return seconds(float_work(layer), host.real) if layer.kind in (CONV, LINEAR) else None


def _predict_planes(host: HostModel, layer: Layer) -> float | None:
    pair = _pair(layer)
    if pair is None or not runs_as_planes(layer):
        return None
    return seconds(bit_work(layer, *pair), {**host.gather, **host.planes[pair]})


def _predict_codes(host: HostModel, layer: Layer) -> float | None:
    pair = _pair(layer)
    if pair is None or not runs_as_codes(layer, pair[1]):
        return None
    return seconds(code_work(layer, pair[1]), host.codes)


def _probe_float(layer: Layer) -> Probe:
    return Probe(float_layer(layer))


def _probe_bit_conv(kernel: str) -> Callable[[Layer], Probe]:
    """Of PABitConv on a kernel in CHOICES."""

    def probe(layer: Layer) -> Probe:
        pair = _pair(layer)
        assert pair is not None
        return Probe(bit_conv(layer, *pair), kernel)

    return probe


FLOAT = HostKernel("float", "float", _predict_float, _probe_float)
BIT_PLANES = HostKernel("bit_planes", "bit planes", _predict_planes, _probe_bit_conv("planes"))
LEVEL_CODES = HostKernel("level_codes", "level codes", _predict_codes, _probe_bit_conv("codes"))

KERNELS = (FLOAT, BIT_PLANES, LEVEL_CODES)


def planes_of(network: Network) -> list[tuple[int, int]]:
    """Every (M, N) that a host model needs for the network. Raises UsageError for planes that aren't PA's."""
    found = {layer.planes for layer in network if layer.planes is not None}
    other = sorted(p.scheme for p in found if p.scheme != "pa")
    if other:
        raise UsageError(f"--host: latency is predicted for the schemes pa and float; found {other[0]}")
    return sorted({(p.M, p.N) for p in found if p.N is not None})


def has_planes(layer: Layer) -> bool:
    """Whether the layer is a PABitConv: full-precision activations take onnxruntime's own convolution."""
    return _pair(layer) is not None


def own_kernel(host: HostModel, layer: Layer) -> HostKernel:
    """The kernel that runs the layer as it is.

    PABitConv takes the faster of its exact kernels, as a session does that isn't told which (there, by the rates of
    kernels/rates.py).
    """
    if not has_planes(layer):
        return FLOAT
    codes = LEVEL_CODES.predict(host, layer)
    planes = BIT_PLANES.predict(host, layer)
    return LEVEL_CODES if planes is not None and codes is not None and codes < planes else BIT_PLANES


def network_seconds(host: HostModel, network: Network) -> tuple[float, list[str]]:
    """Latency of the network as it is, and the names of the layers and op types that it leaves out as unknown."""
    return _summed(host, network, lambda layer: own_kernel(host, layer).predict(host, layer), not planes_of(network))


def fastest_seconds(host: HostModel, network: Network) -> float:
    """Latency of the network with the faster kernel for each layer."""

    def fastest(layer: Layer) -> float | None:
        return min((t for t in (k.predict(host, layer) for k in KERNELS) if t is not None), default=None)

    return _summed(host, network, fastest, not planes_of(network))[0]


def _summed(
    host: HostModel, network: Network, predict: Callable[[Layer], float | None], beside_float: bool
) -> tuple[float, list[str]]:
    """Layers by `predict`, batch norms folded away, and the other ops by the data they move."""
    times = {layer.name: predict(layer) for layer in network if layer.kind != BATCH_NORM}
    moved = [(op.op, elements_moved(op, beside_float)) for op in network.data_ops]
    missing = [name for name, time in times.items() if time is None]
    missing += sorted({op for op, elements in moved if elements is None})
    total = sum(time for time in times.values() if time is not None)
    return total + host.element * sum(elements or 0 for _, elements in moved), missing
