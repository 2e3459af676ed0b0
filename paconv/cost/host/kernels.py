"""The kernels whose latency is predicted, listed once: the report and the comparison go through this list.

A new kernel is a new entry: how long it takes on a host, and the one-node model that shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from paconv.cost.host.fit import seconds
from paconv.cost.host.model import HostModel
from paconv.cost.host.probe import bit_conv, float_layer
from paconv.cost.host.work import bit_work, elements_moved, float_work, runs_as_planes
from paconv.cost.layers import BATCH_NORM, CONV, LINEAR, Layer, Network
from paconv.errors import UsageError

__all__ = ["KERNELS", "HostKernel", "fastest_seconds", "network_seconds", "own_kernel", "planes_of"]


@dataclass(frozen=True)
class HostKernel:
    """predict: seconds of a layer, None if the kernel can't run it; probe: the layer as a model of one node, to be
    measured alone.
    """

    name: str
    title: str
    predict: Callable[[HostModel, Layer], float | None]
    probe: Callable[[Layer], onnx.ModelProto]


def _predict_float(host: HostModel, layer: Layer) -> float | None:
    return seconds(float_work(layer), host.real) if layer.kind in (CONV, LINEAR) else None


def _predict_planes(host: HostModel, layer: Layer) -> float | None:
    if layer.planes is None or layer.planes.N is None or not runs_as_planes(layer):
        return None
    M, N = layer.planes.M, layer.planes.N
    return seconds(bit_work(layer, M, N), {**host.gather, **host.planes[M, N]})


def _probe_planes(layer: Layer) -> onnx.ModelProto:
    assert layer.planes is not None and layer.planes.N is not None
    return bit_conv(layer, layer.planes.M, layer.planes.N)


FLOAT = HostKernel("float", "float", _predict_float, float_layer)
BIT_PLANES = HostKernel("bit_planes", "bit planes", _predict_planes, _probe_planes)

KERNELS = (FLOAT, BIT_PLANES)


def planes_of(network: Network) -> list[tuple[int, int]]:
    """Every (M, N) that a host model needs for the network. Raises UsageError for planes that aren't PA's."""
    found = {layer.planes for layer in network if layer.planes is not None}
    other = sorted(p.scheme for p in found if p.scheme != "pa")
    if other:
        raise UsageError(f"--host: latency is predicted for the schemes pa and float; found {other[0]}")
    return sorted({(p.M, p.N) for p in found if p.N is not None})


def own_kernel(layer: Layer) -> HostKernel:
    """The kernel that runs the layer as it is: full-precision activations take onnxruntime's own convolution."""
    return FLOAT if layer.planes is None or layer.planes.N is None else BIT_PLANES


def network_seconds(host: HostModel, network: Network) -> tuple[float, list[str]]:
    """Latency of the network as it is, and the names of the layers and op types that it leaves out as unknown."""
    return _summed(host, network, lambda layer: own_kernel(layer).predict(host, layer), not planes_of(network))


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
