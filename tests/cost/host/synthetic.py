"""A host whose rates are given, and a stopwatch that times models by them: nothing is run."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from paconv.cost.host.fit import seconds
from paconv.cost.host.model import HostModel
from paconv.cost.host.probe import Probe
from paconv.cost.host.work import bit_work, code_work, float_work
from paconv.network.extract import network
from paconv.network.layers import CONV, Layer, Planes

IDENTITY: dict[str, str | int] = {
    "cpu": "Synthetic 1", "cpu_details": "0", "threads": 1, "onnxruntime": "1", "paconv": "0", "kernels": "k",
}  # fmt: skip

GATHER = {"node": 1e-6, "row_endpoint": 4e-9, "element_endpoint": 1e-10}

CODES = {"node": 2e-6, "element": 2e-10, "element_endpoint": 1e-11, "product": 1.2e-11, "output": 2e-10}

REAL = {
    "node": 2e-6, "mac_window": 1e-11, "mac_pointwise": 1.25e-11, "mac_shallow": 2e-11, "mac_depthwise": 5e-11,
    "mac_linear": 4e-11, "element": 1e-10, "weight": 5e-11,
}  # fmt: skip


def plane_rates(M: int, N: int) -> dict[str, float]:
    return {"word": 1e-11 + 1e-13 * (M + N), "output": 1e-9 * (1 + M * N / 4)}


def host(*planes: tuple[int, int]) -> HostModel:
    return HostModel(
        IDENTITY, GATHER, {p: plane_rates(*p) for p in planes or [(4, 5)]}, CODES, REAL, element=5e-11,
        integer_mac=2e-12, fit_errors={"float": 0.02, "bit_planes": 0.04, "level_codes": 0.03},
    )  # fmt: skip


def conv(C: int, O: int, size: int, kernel=3, stride=1, planes=None, group=1, name="conv") -> Layer:
    pad = kernel // 2
    out = (size + 2 * pad - kernel) // stride + 1
    return Layer(
        name, CONV, (O, C // group, kernel, kernel), (1, C, size, size), (1, O, out, out), group=group,
        planes=None if planes is None else Planes("pa", *planes, endpoints=planes[1] or 0, weight_levels=planes[0] + 1),
        strides=(stride, stride), pads=(pad,) * 4, dilations=(1, 1),
    )  # fmt: skip


def stopwatch(probes: Sequence[Probe], budget: float) -> list[float]:
    """Seconds of one-node models at the synthetic host's rates."""
    times = []
    for model, kernel in probes:
        op = model.graph.node[0].op_type
        if op == "QLinearConv":
            weight = next(i.dims for i in model.graph.initializer if i.name == "W")
            size = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
            times.append(2e-12 * prod(weight) * size**2)
        elif op == "Add":
            shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
            times.append(5e-11 * 2 * prod(shape))
        else:
            layer = network(model).layers[0]  # what follows are batch norms, inferred from endpoints a channel
            if op == "PABitConv":
                M, N = layer.planes.M, layer.planes.N
                assert kernel in ("planes", "codes")
                times.append(
                    seconds(code_work(layer, N), CODES)
                    if kernel == "codes"
                    else seconds(bit_work(layer, M, N), {**GATHER, **plane_rates(M, N)})
                )
            else:
                times.append(seconds(float_work(layer), REAL))
    return times
