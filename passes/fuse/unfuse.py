"""The way back from the fused form: PALevelConv, PALevels, PALevelMaxPool and PADepthwiseConv to PABitConv and standard
ops.

    Y^T, L1, L2 = PALevelConv(L, R^T, ...)     S = PABitConv(X, ...)    L = level(X; v, sign)
                                               T = Add(S, R)            unless R is the single 0
                                               Y = Clip(T, low, high)   Relu for [0, inf]; unless there are no bounds
    L^T = PALevels(X^T, v, sign)               -                        whoever reads L^T reads X, v and sign
    Y^T, L1, L2 = PADepthwiseConv(X^T, ...)    S = Conv(X, ...)         then as behind a PABitConv
    P^T = PALevelMaxPool(L^T)                  P = MaxPool(X)           whoever reads P^T reads P, v and sign
    b^T = f(a^T, ...)                          b = f(a, ...)            elementwise ops, moves of data
    m^T = MatMul(row, Reshape(a^T))            m = ReduceMean(a)        or GlobalAveragePool (passes.fuse.squeeze)
    M = f(L, ...)                              b = f(X, ...)            moves of levels; whoever reads M reads b

f with its axes renamed for a move (paconv.passes.fuse.moves), and the comparison of M that of the channels it holds.
t^T is the channel-last tensor that stands for t (paconv.passes.fuse.layout); where a tensor doesn't exist any more, its
name is in the name of its levels that a move makes, or in the attribute `names` of the op that took it in. So every
name, constant and attribute is that of the graph before fusion, and verification, cost and reading work on one form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from paconv.errors import ModelError
from paconv.ops import DOMAIN, PA_BIT_CONV, PA_DEPTHWISE_CONV, PA_LEVEL_CONV, PA_LEVEL_MAX_POOL, PA_LEVELS
from paconv.passes.fold.endpoints import in_fewest_rows
from paconv.passes.fuse.finishes import has_bounds, has_residual, input_index
from paconv.passes.fuse.layout import (
    is_to_channel_first,
    is_to_channel_last,
    levels_of,
    permuted,
    stands_for,
    to_channel_first,
)
from paconv.passes.fuse.moves import MOVES, data_of, sources, turn_to_first
from paconv.passes.fuse.squeeze import ChannelLastMean, back_to_mean, channel_last_mean
from paconv.passes.graph.conv_geometry import Geometry
from paconv.passes.graph.depthwise import depthwise_attributes
from paconv.passes.graph.matching import (
    ONE_TENSOR,
    TWO_TENSORS,
    constant_value,
    data_inputs,
    is_op,
    is_zero,
    readers,
    static_value,
)
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["Levels", "Unfused", "canonical", "unfuse"]

_FUSED_OPS = {schema.name: schema for schema in (PA_LEVELS, PA_LEVEL_CONV, PA_LEVEL_MAX_POOL, PA_DEPTHWISE_CONV)}


_OF_ONE_CPU = "com.microsoft.nchwc"
"""Domain of onnxruntime's layouts, which ORT_ENABLE_ALL writes."""


@dataclass(frozen=True)
class Levels:
    """What a level tensor holds: the levels of tensor `of` by endpoints v (1|C, E) and sign (1|C,)."""

    of: str
    v: np.ndarray
    sign: np.ndarray


@dataclass(frozen=True)
class Unfused:
    """A model in canonical form, and what the tensors of the fused one are in it.

    channel_last: float tensors (B, H, W, C) -> the tensor (B, C, H, W) each stands for; levels: level tensors
    (B, H, W, C). Both by name, in the order of the fused graph. depthwise: results of the Convs that were
    PADepthwiseConvs; means: results of means that were MatMuls -> the row (1, H W) of these. Both round otherwise.
    elementwise: results of ops of one tensor that worked channel-last.
    """

    model: onnx.ModelProto
    channel_last: dict[str, str]
    levels: dict[str, Levels]
    depthwise: tuple[str, ...] = ()
    means: dict[str, np.ndarray] = field(default_factory=dict)
    elementwise: tuple[str, ...] = ()


def canonical(model: onnx.ModelProto, where: str = "model") -> onnx.ModelProto:
    """`model` in canonical form; itself if it has no fused ops. Raises ModelError as `unfuse` does."""
    return unfuse(model, where).model


def unfuse(model: onnx.ModelProto, where: str = "model") -> Unfused:
    """Undo the fusing passes.

    where: what messages call the model. Raises ModelError if the model is inconsistent, or naming the node whose
    surroundings aren't those that fusing makes.
    """
    if not any(node.domain == DOMAIN and node.op_type in _FUSED_OPS for node in model.graph.node):
        return Unfused(model, {}, {})
    if any(node.domain == _OF_ONE_CPU for node in model.graph.node):
        raise ModelError(
            f"{where}: expected ops of ONNX and paconv; found some of {_OF_ONE_CPU}, which are for one CPU: "
            "give the file it was made from, or save it with ORT_ENABLE_EXTENDED"
        )
    graph = ModelGraph(model, where)
    way_back = _WayBack(graph, where)
    for node in list(graph.nodes):
        if node.outputs:  # a Transpose that went with its producer has none any more
            way_back.visit(node)
    way_back.drop_transposes()
    return Unfused(
        graph.export(),
        way_back.names(),
        way_back.levels(),
        tuple(way_back.depthwise),
        way_back.means,
        tuple(way_back.elementwise),
    )


class _WayBack:
    """One walk over a fused graph in topological order.

    first: id of a channel-last tensor -> the channel-first one; compared: id of a level tensor -> (channel-first
    tensor, v, sign); pooled, moved: what a pooling or move of levels is in the canonical graph, by the name of its
    (first) result there; depthwise, means, elementwise: as of Unfused.
    """

    def __init__(self, graph: ModelGraph, where: str):
        self.graph, self.where = graph, where
        self.first: dict[int, tuple[gs.Tensor, gs.Tensor]] = {}
        self.compared: dict[int, tuple[gs.Tensor, tuple[gs.Tensor, gs.Tensor, gs.Tensor]]] = {}
        self.moved: dict[str, tuple[list[gs.Tensor], tuple, list[gs.Tensor]]] = {}
        self.pooled: dict[str, tuple[gs.Tensor, dict, gs.Tensor]] = {}
        self.depthwise: list[str] = []
        self.means: dict[str, np.ndarray] = {}
        self.elementwise: list[str] = []

    def visit(self, node: gs.Node) -> None:
        if node.domain == DOMAIN and node.op in _FUSED_OPS:
            schema = _FUSED_OPS[node.op]
            self._check(node, schema)
            self._check_outputs(node)
            steps: dict[str, Callable[[gs.Node], None]] = {
                "PALevels": self._levels, "PALevelConv": self._conv, "PALevelMaxPool": self._pool,
                "PADepthwiseConv": self._depthwise,
            }  # fmt: skip
            steps[node.op](node)
        elif is_to_channel_last(node):
            self._stand(node.outputs[0], node.inputs[0])
        elif is_to_channel_first(node):
            self._known(node, node.inputs[0])
        elif (mean := channel_last_mean(node)) is not None:
            self._mean(node, mean)
        elif is_op(node, *MOVES) and all(id(t) in self.compared for t in data_of(node)):
            self._move_levels(node)
        elif any(id(t) in self.first or id(t) in self.compared for t in node.inputs):
            self._float(node)

    def drop_transposes(self) -> None:
        """Take out the Transposes of ours that nothing reads any more."""
        for node in list(self.graph.nodes):
            if is_to_channel_last(node) and not readers(node.outputs[0]) and self.graph.is_free(node.outputs[0]):
                self.graph.remove(node)

    def names(self) -> dict[str, str]:
        return {tensor.name: first.name for tensor, first in self.first.values()}

    def levels(self) -> dict[str, Levels]:
        return {
            tensor.name: Levels(X.name, constant_value(v), constant_value(sign))
            for tensor, (X, v, sign) in self.compared.values()
        }

    def _fail(self, node: gs.Node, expected: str, found: str) -> ModelError:
        return ModelError(
            f"{self.where}: {node.op} '{self.graph.label(node)}': expected {expected}; found {found}; "
            "optimize the model again"
        )

    def _check(self, node: gs.Node, schema) -> None:
        """Inputs, outputs and attributes as many as the op has; constants constant."""
        for what, want, found in (
            ("inputs", len(schema.inputs), len(node.inputs)),
            ("outputs", len(schema.outputs), len(node.outputs)),
        ):
            if want != found:
                raise self._fail(node, f"{want} {what}", str(found))
        missing = [a.name for a in schema.attributes if a.name not in node.attrs]
        if missing:
            raise self._fail(node, "all its attributes", f"no {', '.join(missing)}")
        for tensor, declared in zip(node.inputs, schema.inputs, strict=True):
            if declared.name not in ("X", "L", "R") and static_value(tensor) is None:
                raise self._fail(node, f"{declared.name} as an initializer", f"the computed tensor '{tensor.name}'")

    def _check_outputs(self, node: gs.Node) -> None:
        for tensor in node.outputs:
            if not self.graph.is_free(tensor):
                raise self._fail(node, "fused tensors to stay between fused nodes", f"the graph output '{tensor.name}'")

    def _stand(self, tensor: gs.Tensor, first: gs.Tensor) -> None:
        self.first[id(tensor)] = (tensor, first)

    def _compare(self, tensor: gs.Tensor, of: gs.Tensor, v: gs.Tensor, sign: gs.Tensor) -> None:
        self.compared[id(tensor)] = (tensor, (of, v, sign))

    def _known(self, node: gs.Node, tensor: gs.Tensor) -> gs.Tensor:
        """What the channel-last `tensor` that `node` reads stands for."""
        if id(tensor) not in self.first:
            raise self._fail(node, "a channel-last tensor of fused nodes to read", f"'{tensor.name}'")
        return self.first[id(tensor)][1]

    def _known_levels(self, node: gs.Node) -> tuple[gs.Tensor, gs.Tensor, gs.Tensor]:
        if id(node.inputs[0]) not in self.compared:
            raise self._fail(node, "level indexes of fused nodes to read", f"'{node.inputs[0].name}'")
        return self.compared[id(node.inputs[0])][1]

    def _make(self, node: gs.Node, name: str, like: gs.Tensor) -> gs.Variable:
        """A new channel-first float tensor of `node`, of the shape of the channel-last tensor `like`."""
        if not name or self.graph.is_taken(name):
            raise self._fail(node, "names of tensors that the graph doesn't have", f"'{name}'")
        return self.graph.variable(name, np.float32, self._first_shape(like))

    def _first_shape(self, tensor: gs.Tensor) -> list | None:
        return None if tensor.shape is None else permuted(tensor.shape, to_channel_first(len(tensor.shape)))

    def _result(self, node: gs.Node, tensor: gs.Tensor, name: str, like: gs.Tensor) -> gs.Tensor:
        """The channel-first result for the channel-last output `tensor`: what our Transpose makes of it, or else a new
        one called `name`.
        """
        back = None if tensor.is_empty() else next((n for n, _ in readers(tensor) if is_to_channel_first(n)), None)
        if back is None:
            return self._make(node, name, like)
        result = back.outputs[0]
        if result.name != name:
            raise self._fail(node, f"the result '{name}'", f"'{result.name}'")
        self.graph.remove(back)
        return result

    def _levels(self, node: gs.Node) -> None:
        self._compare(node.outputs[0], self._known(node, node.inputs[0]), *node.inputs[1:])
        self.graph.remove(node)

    def _conv(self, node: gs.Node) -> None:
        X, *endpoints = self._known_levels(node)
        inputs = {t.name: node.inputs[k] for k, t in enumerate(PA_LEVEL_CONV.inputs)}
        v, sign = self._endpoints_for(node, *endpoints)
        own = inputs | {"X": X, "v": v, "sign": sign}
        self._finish(node)
        node.op = "PABitConv"
        node.inputs = [own[t.name] for t in PA_BIT_CONV.inputs]

    def _depthwise(self, node: gs.Node) -> None:
        X, W, bias = self._known(node, node.inputs[0]), node.inputs[2], node.inputs[3]
        shape, shift = constant_value(W).shape, constant_value(bias)
        self._finish(node)
        node.op, node.domain = "Conv", ""
        node.inputs = [X, W, *([] if shift.shape == (1,) and is_zero(bias) else [bias])]
        strides, pads, dilations = (list(node.attrs[name]) for name in ("strides", "pads", "dilations"))
        node.attrs = depthwise_attributes(Geometry(strides, pads, dilations, shape[0]), shape)
        self.depthwise.append(node.outputs[0].name)

    def _finish(self, node: gs.Node) -> None:
        """Take the finish out of the node: its result is the convolution's then, and what follows are nodes."""
        outputs, names = list(node.outputs), list(node.attrs["names"])
        like = next((t for t in outputs if not t.is_empty()), None)
        if like is None or len(names) != 3 or not names[0]:
            raise self._fail(node, "an output and 3 names, the first not empty", f"names {names}")
        added, clipped = has_residual(node), has_bounds(node)
        if bool(names[1]) != added or bool(names[2]) != clipped:
            raise self._fail(node, "a name for the sum if R isn't 0, and for the result if it is clipped", f"{names}")

        def given(name: str) -> gs.Tensor:
            return node.inputs[input_index(node, name)]

        R = self._known(node, given("R")) if added else None
        final = [name for name in names if name][-1]

        def tensor(name: str) -> gs.Tensor:
            return self._result(node, outputs[0], name, like) if name == final else self._make(node, name, like)

        S = tensor(names[0])
        T = tensor(names[1]) if added else S
        Y = tensor(names[2]) if clipped else T
        node.outputs = [S]
        del node.attrs["names"]
        behind = [self._clip(constant_value(given("clip")), T, Y)] if clipped else []
        behind += [gs.Node("Add", inputs=[S, R], outputs=[T], domain="")] if added else []
        for new in behind:
            self.graph.insert_after(node, new)
        if not outputs[0].is_empty():
            self._stand(outputs[0], Y)
        for k in (1, 2):
            if not outputs[k].is_empty():
                self._compare(outputs[k], Y, given(f"v{k}"), given(f"sign{k}"))

    def _endpoints_for(self, node: gs.Node, v: gs.Tensor, sign: gs.Tensor) -> tuple[gs.Tensor, gs.Tensor]:
        """v and sign with as many endpoints as `node` has levels for: rows that moved beside longer ones end in NaN."""
        values, E = constant_value(v), len(node.attrs["level_masks"]) - 1
        if values.shape[1] <= E:
            return v, sign
        if not np.isnan(values[:, E:]).all():
            raise self._fail(node, f"{E} endpoints to compare what it reads with", f"{values.shape[1]}")
        fitting = in_fewest_rows(values[:, :E], constant_value(sign))
        names = (f"{self.graph.label(node)}.{k}" for k in ("v", "sign"))
        return tuple(self.graph.constant(a, name) for a, name in zip(fitting, names, strict=True))

    def _clip(self, clip: np.ndarray, T: gs.Tensor, result: gs.Tensor) -> gs.Node:
        if clip.tolist() == [0, np.inf]:
            return gs.Node("Relu", inputs=[T], outputs=[result], domain="")
        bounds = [
            gs.Variable.empty() if np.isinf(bound) else self.graph.constant(bound, f"{result.name}.{name}")
            for bound, name in zip(clip, ("min", "max"), strict=True)
        ]
        return gs.Node("Clip", inputs=[T, *bounds], outputs=[result], domain="")

    def _pool(self, node: gs.Node) -> None:
        X, v, sign = self._known_levels(node)
        P, (name, *_) = node.outputs[0], node.attrs["names"]
        attributes = {key: list(node.attrs[key]) for key in ("kernel_shape", "strides", "pads")}
        if name not in self.pooled:
            pooled = self._make(node, name, P)
            pool = gs.Node("MaxPool", attrs=attributes, inputs=[X], outputs=[pooled], domain="")
            self.graph.insert_before(node, pool)
            self.pooled[name] = (X, attributes, pooled)
        same_X, same_attributes, pooled = self.pooled[name]
        if same_X is not X or same_attributes != attributes:
            raise self._fail(node, f"one pooling to make '{name}'", "two different ones")
        self._compare(P, pooled, v, sign)
        self.graph.remove(node)

    def _mean(self, rows: gs.Node, mean: ChannelLastMean) -> None:
        X, output = self._known(rows, rows.inputs[0]), mean.product.outputs[0]
        self._check_outputs(mean.product)
        result = self._result(mean.product, output, mean.of, output)
        self._stand(output, result)
        self.means[result.name] = constant_value(mean.product.inputs[0])
        back_to_mean(mean, X, result, self.graph)
        self.graph.remove(rows)

    def _float(self, node: gs.Node) -> None:
        """Give a channel-last elementwise node or move its channel-first tensors back."""
        if not is_op(node, *ONE_TENSOR, *TWO_TENSORS, *MOVES):
            raise self._fail(node, "no reader of fused tensors but elementwise ops, means and moves of data", node.op)
        self._check_outputs(node)
        indexes = range(len(data_of(node))) if is_op(node, *MOVES) else data_inputs(node)
        outputs = list(node.outputs)
        names = self._names(node, stands_for, "a channel-last result, its name ending in .channel_last")
        for k in indexes:
            node.inputs[k] = self._known(node, node.inputs[k])
        if is_op(node, *MOVES):
            turn_to_first(node, self.graph)
        for k, (output, name) in enumerate(zip(outputs, names, strict=True)):
            node.outputs[k] = self._result(node, output, name, output)
            self._stand(output, node.outputs[k])
        if is_op(node, *ONE_TENSOR):
            self.elementwise.append(node.outputs[0].name)

    def _names(self, node: gs.Node, read: Callable[[str], str | None], expected: str) -> list[str]:
        """What `read` finds in the names of the node's outputs: names of channel-first tensors."""
        found = []
        for output in node.outputs:
            name = read(output.name)
            if name is None:
                raise self._fail(node, expected, f"'{output.name}'")
            found.append(name)
        return found

    def _move_levels(self, node: gs.Node) -> None:
        """Let a move of level indexes move floats again, and go if there is the same move already."""
        self._check_outputs(node)
        data, outputs = data_of(node), list(node.outputs)
        names = self._names(node, levels_of, "level indexes as a result, its name ending in .levels")
        comparisons = self._moved_comparisons(node)
        X = [self.compared[id(tensor)][1][0] for tensor in data]
        if is_op(node, "Pad") and len(node.inputs) == 3:
            node.inputs.pop(2)
        elif is_op(node, "Pad") and len(node.inputs) > 3:
            node.inputs[2] = gs.Variable.empty()
        constants = [constant_value(t).tolist() for t in node.inputs[len(data) :] if not t.is_empty()]
        how = (node.op, str(node.attrs), constants)
        if names[0] not in self.moved:
            results = [self._make(node, name, output) for name, output in zip(names, outputs, strict=True)]
            self.moved[names[0]] = (X, how, results)
            node.outputs = results
            for k, tensor in enumerate(X):
                node.inputs[k] = tensor
            turn_to_first(node, self.graph)
        else:
            self.graph.remove(node)
        same_X, same_how, results = self.moved[names[0]]
        if [*map(id, same_X)] != [*map(id, X)] or same_how != how or [t.name for t in results] != names:
            raise self._fail(node, f"one move to make '{names[0]}'", "two different ones")
        for output, of, (v, sign) in zip(outputs, results, comparisons, strict=True):
            v, sign = (self.graph.constant(a, f"{of.name}.{k}") for a, k in ((v, "v"), (sign, "sign")))
            self._compare(output, of, v, sign)

    def _moved_comparisons(self, node: gs.Node) -> list[tuple[np.ndarray, np.ndarray]]:
        """v and sign of each result of a move of level indexes."""
        compared = [self.compared[id(tensor)][1] for tensor in data_of(node)]
        before = [(constant_value(v), constant_value(sign)) for _, v, sign in compared]
        if len({(v.tobytes(), v.shape, sign.tobytes()) for v, sign in before}) == 1 and before[0][0].shape[0] == 1:
            if before[0][1].shape[0] == 1:
                return [before[0]] * len(node.outputs)
        channels = [self._channels(node, tensor) for tensor in data_of(node)]
        width = max(v.shape[1] for v, _ in before)
        rows = np.concatenate([
            np.broadcast_to(np.pad(v, ((0, 0), (0, width - v.shape[1])), constant_values=np.nan), (c, width))
            for c, (v, _) in zip(channels, before, strict=True)
        ])  # fmt: skip
        signs = np.concatenate([np.broadcast_to(s, (c,)) for c, (_, s) in zip(channels, before, strict=True)])
        found = []
        for origins in sources(node, channels):
            v, sign = rows[origins], signs[origins]
            if any(a.tobytes() != np.broadcast_to(a[:1], a.shape).tobytes() for a in (v, sign)):
                raise self._fail(node, "one comparison of each channel", "different ones")
            found.append(in_fewest_rows(v[0], sign[0]))
        return found

    def _channels(self, node: gs.Node, tensor: gs.Tensor) -> int:
        sizes = (tensor.shape or [None])[3:]
        if not sizes or not all(isinstance(n, int) for n in sizes):
            raise self._fail(node, f"to know how many channels '{tensor.name}' has", f"shape {tensor.shape}")
        return int(np.prod(sizes))
