"""Which layers of a float network become piecewise-approximated, why the others stay real, and what each one reads.

A layer is a node with a weight: Conv, ConvTranspose, Gemm and MatMul. One is *between* two tensors where data flows
through it from the one to the other. Then

    first-layer    a convolution that no other layer stands before: it reads a graph input, normalized or not
    head           a layer from which a graph output is reached without another layer between. What a residual addition
                   or a concatenation lets past a branch counts with the branch: in y = f(x) + x, what comes before x
                   comes before f
    depthwise      a convolution whose groups read a channel each
    one-pixel      a convolution of what was averaged over all rows and columns, as in squeeze-and-excitation: a linear
                   layer by another name
    constant-weights
                   a convolution that computes no feature: a mean, or the expectation over bins of a detector's
                   distribution focal loss. It is no layer between others.

An activation is quantized once for all that read the same tensor. Zero padding before a convolution, as a node of its
own, is looked through, as `paconv optimize` makes it the convolution's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from paconv.errors import UsageError
from paconv.onnx_file.graph_view import GraphView, attribute, inner_nodes, op_name
from paconv.quantization.rectified import rectified_tensors

__all__ = ["PA", "REAL", "REASONS", "Plan", "PlannedLayer", "plan"]

PA, REAL = "pa", "real"

_NO_PADDING = (0, 0, 0, 0)

REASONS = {
    "first-layer": "No other layer stands before it; such convolutions stay real (first='pa' converts them).",
    "head": "An output is reached from it without another layer between; heads stay real (last='pa' converts them).",
    "depthwise": "Depthwise convolutions stay real (depthwise='pa' converts them).",
    "one-pixel": "It reads one value per channel, as in squeeze-and-excitation: little work, and a large error.",
    "kept-by-name": "It is named in keep.",
    "constant-weights": "Its weights are a mean or a ramp of whole numbers, which compute no feature.",
    "zero-weights": "All of its weights are 0.",
    "linear": "Linear layers stay real (linear='pa' converts those of vectors).",
    "transposed": "Transposed convolutions have no piecewise form.",
    "not-2d": "Its weight isn't of rank 4; only 2-D convolutions have a piecewise form.",
    "not-float32": "Its weight isn't float32.",
    "weight-not-constant": "Its weight is computed from the network's input.",
    "non-finite-weights": "The weight holds NaN or infinity.",
    "inside-subgraph": "It is inside an If, Loop or Scan body, which isn't rewritten.",
}
"""Why a layer stays real: code -> a sentence."""

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")

_RECURRENT = ("LSTM", "GRU", "RNN", "com.microsoft.FusedConv")
"""Weighted too, and never planned: they stand between layers."""


@dataclass(frozen=True)
class PlannedLayer:
    """A layer, and what becomes of it."""

    name: str
    """Name of its node."""
    op: str
    """Conv, ConvTranspose, Gemm or MatMul."""
    weight: str
    """Name of its weight; "" inside a subgraph."""
    weight_shape: tuple[int, ...]
    """Of the stored weight; empty where it isn't stored."""
    form: str
    """PA or REAL."""
    code: str = ""
    """Why it stays real, a key of REASONS; "" for PA."""
    reads: str = ""
    """The tensor whose quantized form it reads, the same for all that share it; "" for a real layer."""
    rectified: bool = False
    """Whether that is known not to be negative."""
    pad: str = ""
    """Name of the Pad node between, which becomes the convolution's pads; "" for none."""
    padding: tuple[int, ...] = _NO_PADDING
    """(top, left, bottom, right) of that node."""
    macs: int = 0
    """Multiply-accumulates of one sample; 0 where they aren't known."""
    parameters: int = 0
    """Weights, bias apart; 0 where another layer holds them too."""

    @property
    def reason(self) -> str:
        """Why it stays real, in a sentence; "" for PA."""
        return REASONS.get(self.code, "")


@dataclass(frozen=True)
class Plan:
    """The layers of a network in the order of its nodes."""

    layers: tuple[PlannedLayer, ...]

    @property
    def pa(self) -> tuple[PlannedLayer, ...]:
        """Those that become piecewise-approximated."""
        return tuple(layer for layer in self.layers if layer.form == PA)

    @property
    def real(self) -> tuple[PlannedLayer, ...]:
        """Those that stay real."""
        return tuple(layer for layer in self.layers if layer.form == REAL)

    @property
    def activations(self) -> dict[str, tuple[str, ...]]:
        """Tensor to be quantized -> names of the layers that read it."""
        found: dict[str, tuple[str, ...]] = {}
        for layer in self.pa:
            found[layer.reads] = (*found.get(layer.reads, ()), layer.name)
        return found

    @property
    def macs_share(self) -> float:
        """Part of the multiply-accumulates that is converted, from 0 to 1; NaN where they aren't known."""
        return _share([layer.macs for layer in self.pa], [layer.macs for layer in self.layers])

    @property
    def parameters_share(self) -> float:
        """Part of the weights that is converted, from 0 to 1."""
        return _share([layer.parameters for layer in self.pa], [layer.parameters for layer in self.layers])


def plan(
    model: onnx.ModelProto,
    *,
    keep: Sequence[str] = (),
    first: str = REAL,
    last: str = REAL,
    depthwise: str = REAL,
    was_linear: Collection[str] = (),
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Plan:
    """What becomes of each layer of a plain model (paconv.onnx_file.plain).

    Args:
        model: The float network.
        keep: Names of layers that stay real, or patterns such as "*/attn/*".
        first: REAL, or PA to convert first layers too.
        last: The same for heads.
        depthwise: The same for depthwise convolutions.
        was_linear: Names of convolutions that were linear layers, which may read one pixel.
        shapes: Of what layers read and make, for the count of multiply-accumulates (PlainModel.shapes).

    Raises:
        UsageError: An option is invalid, or a pattern in `keep` names no layer.
    """
    for option, value in {"first": first, "last": last, "depthwise": depthwise}.items():
        if value not in (REAL, PA):
            raise UsageError(f"{option} must be {REAL!r} or {PA!r}; found {value!r}")
    return _Planner(
        model, keep, {"first-layer": first, "head": last, "depthwise": depthwise}, was_linear, shapes or {}
    ).plan()


def _share(part: list[int], whole: list[int]) -> float:
    return sum(part) / sum(whole) if sum(whole) else float("nan")


class _Planner:
    """One walk over a graph."""

    def __init__(
        self,
        model: onnx.ModelProto,
        keep: Sequence[str],
        policies: Mapping[str, str],
        was_linear: Collection[str],
        shapes: Mapping[str, Sequence[int]],
    ):
        self.model = model
        self.view = GraphView(model.graph)
        self.keep = [keep] if isinstance(keep, str) else list(keep)
        self.policies, self.was_linear = policies, was_linear
        self.shapes = shapes
        self.owned: set[str] = set()
        self.rectified = rectified_tensors(self.view)
        self.weighted = {id(node) for node in self.view.nodes if self._is_weighted(node)}
        self.heads = self._heads()
        self.one_pixel = self._one_pixel()

    def plan(self) -> Plan:
        nodes = [node for node in self.view.nodes if self._is_layer(node)]
        labels = [self.view.label(node) for node in nodes]
        inner = [
            PlannedLayer(n.name or n.output[0], n.op_type, "", (), REAL, "inside-subgraph")
            for n in inner_nodes(self.view.nodes)
            if op_name(n) in ("Conv", "ConvTranspose")
        ]
        for pattern in self.keep:
            names = (*labels, *(layer.name for layer in inner))
            if not any(fnmatchcase(name, pattern) for name in names):
                some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
                raise UsageError(f"keep: {pattern!r} names no layer; layers are {some}")
        layers = []
        for node, name in zip(nodes, labels, strict=True):
            code = self._code(node, name)
            weight = self.view.stored.get(node.input[1])
            reads, pad, padding = ("", "", _NO_PADDING) if code else self._reads(node)
            layers.append(
                PlannedLayer(
                    name,
                    node.op_type,
                    node.input[1],
                    () if weight is None else tuple(weight.dims),
                    REAL if code else PA,
                    code,
                    reads,
                    reads in self.rectified,
                    pad,
                    padding,
                    self._macs(node),
                    self._parameters(node),
                )
            )
        return Plan((*layers, *inner))

    def _is_layer(self, node: onnx.NodeProto) -> bool:
        """Conv and ConvTranspose, whatever their weight; Gemm and MatMul of a constant one."""
        op = op_name(node)
        if op not in _LAYERS or node.output[0] in self.view.constants:
            return False
        return op in ("Conv", "ConvTranspose") or node.input[1] in self.view.constants

    def _is_weighted(self, node: onnx.NodeProto) -> bool:
        """Whether it is a layer that stands between others."""
        return op_name(node) in _RECURRENT or (self._is_layer(node) and not self._has_constant_weights(node))

    def _code(self, node: onnx.NodeProto, name: str) -> str:
        """Why the layer stays real; "" if it doesn't."""
        op = op_name(node)
        if op == "ConvTranspose":
            return "transposed"
        if op != "Conv":
            return "head" if id(node) in self.heads and self.policies["head"] == REAL else "linear"
        weight = self.view.stored.get(node.input[1])
        if weight is None:
            return "weight-not-constant"
        if len(weight.dims) != 4:
            return "not-2d"
        if weight.data_type != TensorProto.FLOAT:
            return "not-float32"
        if not np.isfinite(numpy_helper.to_array(weight)).all():
            return "non-finite-weights"
        if any(fnmatchcase(name, pattern) for pattern in self.keep):
            return "kept-by-name"
        if not numpy_helper.to_array(weight).any():
            return "zero-weights"
        if self._has_constant_weights(node):
            return "constant-weights"
        if node.input[0] in self.one_pixel and name not in self.was_linear:
            return "one-pixel"
        holds = {
            "first-layer": not self._layers_before(node),
            "head": id(node) in self.heads,
            "depthwise": attribute(node, "group", 1) > 1 and weight.dims[1] == 1,
        }
        return next((code for code, held in holds.items() if held and self.policies[code] == REAL), "")

    def _has_constant_weights(self, node: onnx.NodeProto) -> bool:
        """Whether the weights of a convolution are equal and not 0, or one channel of evenly rising whole numbers."""
        weight = self.view.stored.get(node.input[1]) if op_name(node) == "Conv" else None
        if weight is None:
            return False
        values = numpy_helper.to_array(weight).ravel()
        if len(values) < 3 or values.dtype.kind != "f" or not values.any():
            return False
        if (values == values[0]).all():
            return True
        steps = np.diff(values)
        return weight.dims[0] == 1 and bool((steps == steps[0]).all() and (values == np.rint(values)).all())

    def _layers_before(self, node: onnx.NodeProto) -> bool:
        """Whether data that the node reads has been through a layer."""
        return bool(self._nearest_layers([node.input[0]], self.view.dynamic_inputs))

    def _heads(self) -> set[int]:
        """Nodes from which an output of the graph is reached without another layer between."""
        return self._nearest_layers([output.name for output in self.model.graph.output], self._not_passed_by)

    def _nearest_layers(self, names: list[str], inputs: Callable[[onnx.NodeProto], Iterable[str]]) -> set[int]:
        """The first layers on every way back from the tensors `names`; inputs: where the way goes on from a node."""
        wanted, seen, found = list(names), set(), set()
        while wanted:
            name = wanted.pop()
            node = self.view.producer.get(name)
            if name in seen or node is None:
                continue
            seen.add(name)
            if id(node) in self.weighted:
                found.add(id(node))
            else:
                wanted.extend(inputs(node))
        return found

    def _one_pixel(self) -> set[str]:
        """Tensors that were averaged over rows and columns, and what is computed from nothing else."""
        found: set[str] = set()
        for node in self.view.nodes:
            inputs = self.view.dynamic_inputs(node)
            if self._averages_all(node) or (inputs and found.issuperset(inputs)):
                found.update(node.output)
        return found

    def _averages_all(self, node: onnx.NodeProto) -> bool:
        if op_name(node) != "ReduceMean":
            return op_name(node) in ("GlobalAveragePool", "GlobalMaxPool")
        stored = self.view.stored.get(node.input[1]) if len(node.input) > 1 else None
        axes = attribute(node, "axes", []) if stored is None else numpy_helper.to_array(stored).tolist()
        return {axis % 4 for axis in axes} == {2, 3}

    def _not_passed_by(self, node: onnx.NodeProto) -> list[str]:
        """The node's inputs, without those of an addition or concatenation that another one is computed from."""
        inputs = list(dict.fromkeys(self.view.dynamic_inputs(node)))
        if op_name(node) not in ("Add", "Sum", "Concat") or len(inputs) < 2:
            return inputs
        past = {name: self._computed_from(name) for name in inputs}
        return [name for name in inputs if not any(name in past[other] for other in inputs if other != name)]

    def _computed_from(self, name: str) -> set[str]:
        """All tensors that `name` is computed from, itself left out."""
        wanted, seen = [name], set()
        while wanted:
            node = self.view.producer.get(wanted.pop())
            fresh = [] if node is None else [i for i in self.view.dynamic_inputs(node) if i not in seen]
            seen.update(fresh)
            wanted.extend(fresh)
        return seen

    def _reads(self, conv: onnx.NodeProto) -> tuple[str, str, tuple[int, ...]]:
        """The tensor to be quantized; name and amounts of a Pad of zeros between it and the convolution, if any."""
        pad = self.view.producer.get(conv.input[0])
        padding = None if pad is None else self._window_padding(pad, conv)
        if pad is None or padding is None:
            return conv.input[0], "", _NO_PADDING
        return pad.input[0], self.view.label(pad), padding

    def _window_padding(self, pad: onnx.NodeProto, conv: onnx.NodeProto) -> tuple[int, ...] | None:
        """What a Pad adds, if it only pads rows and columns with zeros, which the convolution can do as well."""
        if op_name(pad) != "Pad" or attribute(pad, "mode", b"constant") != b"constant":
            return None
        if attribute(conv, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            return None
        given = [self.view.stored.get(name) if name else None for name in (*pad.input[1:], "", "", "")[:3]]
        if any(name and tensor is None for name, tensor in zip(pad.input[1:], given, strict=False)):
            return None
        amounts, value, axes = (None if each is None else numpy_helper.to_array(each) for each in given)
        if amounts is None or (value is not None and value.any()):
            return None
        where = np.arange(4) if axes is None else axes
        if len(amounts) != 2 * len(where) or (amounts < 0).any():
            return None
        full = np.zeros((2, 4), np.int64)
        full[:, where] = amounts.reshape(2, -1)
        return None if full[:, :2].any() else tuple(full[:, 2:].ravel().tolist())

    def _macs(self, node: onnx.NodeProto) -> int:
        """Multiply-accumulates of the batch that was seen, per sample; 0 where the shapes aren't known."""
        weight = self.view.stored.get(node.input[1])
        read, made = self.shapes.get(node.input[0]), self.shapes.get(node.output[0])
        if weight is None or read is None or made is None:
            return 0
        op, dims = op_name(node), list(weight.dims)
        if op == "ConvTranspose":
            return prod(read) * prod(dims[1:]) // max(1, read[0])
        if op == "Conv":
            return prod(made) * prod(dims[1:]) // max(1, made[0])
        inner = dims[1] if op == "Gemm" and attribute(node, "transB", 0) else dims[-2] if len(dims) > 1 else dims[0]
        return prod(made) * inner // max(1, made[0])

    def _parameters(self, node: onnx.NodeProto) -> int:
        name = node.input[1]
        if name not in self.view.stored or name in self.owned:
            return 0
        self.owned.add(name)
        return prod(self.view.stored[name].dims)
