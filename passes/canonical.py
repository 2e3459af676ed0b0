"""The way back from the fused form: PALevelConv, PALevels and PALevelMaxPool to PABitConv and standard ops.

    Y^T, L1, L2 = PALevelConv(L, R^T, ...)     S = PABitConv(X, ...)    L = level(X; v, sign)
                                               T = Add(S, R)            unless R is the single 0
                                               Y = Clip(T, low, high)   Relu for [0, inf]; unless there are no bounds
    L^T = PALevels(X^T, v, sign)               -                        whoever reads L^T reads X, v and sign
    P^T = PALevelMaxPool(L^T)                  P = MaxPool(X)           whoever reads P^T reads P, v and sign
    b^T = f(a^T, ...)                          b = f(a, ...)            Relu, Clip, Add, Concat of channels

t^T is the channel-last tensor that stands for t (paconv.passes.layout); where a tensor doesn't exist any more, its name
is in the attribute `names` of the op that took it in. So every name, constant and attribute is that of the graph
before fusion, and verification, cost and reading work on one form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from paconv.errors import ModelError
from paconv.ops import DOMAIN, PA_BIT_CONV, PA_LEVEL_CONV, PA_LEVEL_MAX_POOL, PA_LEVELS
from paconv.passes.graph import ModelGraph
from paconv.passes.layout import TO_CHANNEL_FIRST, is_to_channel_first, is_to_channel_last, permuted, stands_for
from paconv.passes.level_conv import has_bounds, has_residual, input_index
from paconv.passes.matching import is_op, readers, static_value

__all__ = ["Levels", "Unfused", "canonical", "unfuse"]

_FUSED_OPS = {schema.name: schema for schema in (PA_LEVELS, PA_LEVEL_CONV, PA_LEVEL_MAX_POOL)}


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
    (B, H, W, C). Both by name, in the order of the fused graph.
    """

    model: onnx.ModelProto
    channel_last: dict[str, str]
    levels: dict[str, Levels]


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
    graph = ModelGraph(model, where)
    way_back = _WayBack(graph, where)
    for node in list(graph.nodes):
        if node.outputs:  # a Transpose that went with its producer has none any more
            way_back.visit(node)
    way_back.drop_transposes()
    return Unfused(graph.export(), way_back.names(), way_back.levels())


class _WayBack:
    """One walk over a fused graph in topological order.

    first: id of a channel-last tensor -> the channel-first one; compared: id of a level tensor -> (channel-first
    tensor, v, sign).
    """

    def __init__(self, graph: ModelGraph, where: str):
        self.graph, self.where = graph, where
        self.first: dict[int, tuple[gs.Tensor, gs.Tensor]] = {}
        self.compared: dict[int, tuple[gs.Tensor, tuple[gs.Tensor, gs.Tensor, gs.Tensor]]] = {}
        self.pooled: dict[str, tuple[gs.Tensor, dict, gs.Tensor]] = {}

    def visit(self, node: gs.Node) -> None:
        if node.domain == DOMAIN and node.op in _FUSED_OPS:
            schema = _FUSED_OPS[node.op]
            self._check(node, schema)
            self._check_outputs(node)
            steps: dict[str, Callable[[gs.Node], None]] = {
                "PALevels": self._levels, "PALevelConv": self._conv, "PALevelMaxPool": self._pool,
            }  # fmt: skip
            steps[node.op](node)
        elif is_to_channel_last(node):
            self._stand(node.outputs[0], node.inputs[0])
        elif is_to_channel_first(node):
            self._known(node, node.inputs[0])
        elif any(id(t) in self.first or id(t) in self.compared for t in node.inputs):
            self._elementwise(node)

    def drop_transposes(self) -> None:
        """Take out the Transposes of ours that nothing reads any more."""
        for node in list(self.graph.nodes):
            if is_to_channel_last(node) and not readers(node.outputs[0]) and self.graph.is_free(node.outputs[0]):
                self.graph.remove(node)

    def names(self) -> dict[str, str]:
        return {tensor.name: first.name for tensor, first in self.first.values()}

    def levels(self) -> dict[str, Levels]:
        return {
            tensor.name: Levels(X.name, static_value(v), static_value(sign))
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
        return self.graph.variable(name, np.float32, permuted(like.shape, TO_CHANNEL_FIRST))

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
        outputs, names = list(node.outputs), list(node.attrs["names"])
        like = next((t for t in outputs if not t.is_empty()), None)
        if like is None or len(names) != 3 or not names[0]:
            raise self._fail(node, "an output and 3 names, the first not empty", f"names {names}")
        inputs = {t.name: node.inputs[k] for k, t in enumerate(PA_LEVEL_CONV.inputs)}
        added, clipped = has_residual(node), has_bounds(node)
        if bool(names[1]) != added or bool(names[2]) != clipped:
            raise self._fail(node, "a name for the sum if R isn't 0, and for the result if it is clipped", f"{names}")

        own = dict(zip(("X", "v", "sign"), (X, *endpoints), strict=True))
        R = self._known(node, inputs["R"]) if added else None
        clip = static_value(node.inputs[input_index("clip")])
        final = [name for name in names if name][-1]

        def tensor(name: str) -> gs.Tensor:
            return self._result(node, outputs[0], name, like) if name == final else self._make(node, name, like)

        S = tensor(names[0])
        T = tensor(names[1]) if added else S
        Y = tensor(names[2]) if clipped else T
        node.op, node.outputs = "PABitConv", [S]
        del node.attrs["names"]
        node.inputs = [own[t.name] if t.name in own else inputs[t.name] for t in PA_BIT_CONV.inputs]
        behind = [self._clip(clip, T, Y)] if clipped else []
        behind += [gs.Node("Add", inputs=[S, R], outputs=[T], domain="")] if added else []
        for new in behind:
            self.graph.insert_after(node, new)
        if not outputs[0].is_empty():
            self._stand(outputs[0], Y)
        for k in (1, 2):
            if not outputs[k].is_empty():
                self._compare(outputs[k], Y, inputs[f"v{k}"], inputs[f"sign{k}"])

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

    def _elementwise(self, node: gs.Node) -> None:
        """Give a channel-last Relu, Clip, Add or Concat its channel-first tensors back."""
        if not is_op(node, "Relu", "Clip", "Add", "Concat"):
            raise self._fail(node, "no reader of fused tensors but Relu, Clip, Add and Concat", node.op)
        self._check_outputs(node)
        count = 1 if is_op(node, "Relu", "Clip") else len(node.inputs)
        inputs = [self._known(node, node.inputs[k]) for k in range(count)]
        output = node.outputs[0]
        name = stands_for(output.name)
        if name is None or (is_op(node, "Concat") and node.attrs["axis"] not in (3, -1)):
            raise self._fail(node, "a channel-last result, its name ending in .channel_last", f"'{output.name}'")
        for k, tensor in enumerate(inputs):
            node.inputs[k] = tensor
        if is_op(node, "Concat"):
            node.attrs["axis"] = 1
        result = self._result(node, output, name, output)
        node.outputs[0] = result
        self._stand(output, result)

