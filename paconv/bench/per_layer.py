"""Each PABitConv of a packed model alone, as a model of one node on the shape that it has there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto, helper

from paconv.bench.peaks import HostPeaks, coding_of, layer_peak
from paconv.measure.timing import Timing
from paconv.measure.turns import Timed, take_turns
from paconv.network.extract import network
from paconv.network.layers import Layer
from paconv.onnx_file.graph_view import GraphView
from paconv.ops import DOMAIN
from paconv.passes.fuse.unfuse import canonical
from paconv.runtime.inspection import node_kernels

__all__ = ["LayerTime", "PackedLayer", "packed_layers", "time_layers"]


@dataclass(frozen=True)
class PackedLayer:
    """A PABitConv, taken out of its model."""

    layer: Layer
    """Its shapes and planes."""
    model: onnx.ModelProto
    """The node alone, its parameters in it, fed with "X"."""

    @property
    def planes(self) -> tuple[int, int]:
        """(M, N)."""
        assert self.layer.planes is not None and self.layer.planes.N is not None
        return self.layer.planes.M, self.layer.planes.N


@dataclass(frozen=True)
class LayerTime:
    """One PABitConv, timed alone."""

    layer: Layer
    """The layer."""
    planes: tuple[int, int]
    """(M, N)."""
    kernel: str
    """As reported by paconv.runtime.inspection."""
    coding: str
    """Of the level codes."""
    reason: str
    """Why that kernel, as reported by paconv.runtime.inspection."""
    threads: int
    """Of the session."""
    timing: Timing
    """Seconds per call."""
    peak: float | None
    """Multiply-accumulates per second that this machine's instructions allow; None if unknown."""

    @property
    def macs_per_second(self) -> float:
        return self.layer.macs / self.timing.best

    @property
    def bit_operations_per_second(self) -> float:
        """AND + popcount of one bit, M N for a multiply-accumulate, as if by bit planes whatever the kernel."""
        return self.macs_per_second * self.planes[0] * self.planes[1]

    @property
    def share(self) -> float | None:
        """Of the peak."""
        return None if self.peak is None else self.macs_per_second / self.peak

    def as_data(self) -> dict[str, Any]:
        return {
            "layer": self.layer.name,
            "weight_shape": list(self.layer.weight_shape),
            "output_shape": list(self.layer.output_shape),
            "M": self.planes[0],
            "N": self.planes[1],
            "kernel": self.kernel,
            "coding": self.coding,
            "reason": self.reason,
            "threads": self.threads,
            "macs": self.layer.macs,
            **self.timing.as_data(),
            "macs_per_second": self.macs_per_second,
            "bit_operations_per_second": self.bit_operations_per_second,
            "limit_macs_per_second": self.peak,
            "share_of_limit": self.share,
        }


def packed_layers(model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]]) -> list[PackedLayer]:
    """The PABitConv nodes of a checked model in its order. input_shapes: of every input, batch included.

    The one place that knows how a packed model holds its layers: linked ones are taken in their canonical form. Raises
    ModelError on shapes that can't be inferred.
    """
    model = canonical(model)
    view = GraphView(model.graph)
    layers = {layer.name: layer for layer in network(model, input_shapes)}
    found = []
    for node in model.graph.node:
        if (node.domain, node.op_type) == (DOMAIN, "PABitConv"):
            layer = layers[view.label(node)]
            found.append(PackedLayer(layer, _alone(model, node, layer, view.stored)))
    return found


def time_layers(
    layers: Sequence[PackedLayer],
    threads: int,
    seconds: float,
    peaks: HostPeaks,
    kernel: str | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> list[LayerTime]:
    """All layers in turns that take about `seconds`. kernel: as for paconv.InferenceSession."""
    choices = [node_kernels(packed.model.SerializeToString(), kernel)[0] for packed in layers]
    sessions = [Timed(packed.model, threads, kernel=kernel) for packed in layers]
    calls = take_turns(sessions, seconds, progress) if layers else []
    return [
        LayerTime(
            packed.layer, packed.planes, choice.kernel, coding_of(choice), choice.reason, threads, Timing.of(own),
            layer_peak(peaks, choice.kernel, packed.planes, coding_of(choice), threads),
        )
        for packed, choice, own in zip(layers, choices, calls, strict=True)
    ]  # fmt: skip


def _alone(
    model: onnx.ModelProto, node: onnx.NodeProto, layer: Layer, stored: Mapping[str, onnx.TensorProto]
) -> onnx.ModelProto:
    single = onnx.NodeProto()
    single.CopyFrom(node)
    single.input[0], single.output[0] = "X", "Y"
    graph = helper.make_graph(
        [single],
        "one_layer",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, layer.input_shape)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)],
        [stored[name] for name in dict.fromkeys(node.input[1:]) if name],
    )
    return helper.make_model(
        graph, functions=model.functions, opset_imports=model.opset_import, ir_version=model.ir_version
    )
