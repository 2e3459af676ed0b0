"""The layers of an ONNX model in any of its forms: float, exported (model.onnx), optimized (pa.onnx).

    form        a binary convolution                        a batch norm          the binarized input, shared
    float       -                                           BatchNormalization    the tensor itself
    exported    Conv of PAWeight(W) and PAActivation(x)     BatchNormalization    (x, endpoints v)
    optimized   PABitConv, or Conv of PAUnpackWeight        folded: see below     (X, v, sign)

A fused file (PALevelConv) is read in its canonical form, which is the optimized one.

8-bit forms (a weight behind DequantizeLinear, QLinearConv, ConvInteger) are read as the float layers that they stand
for; a weight may be computed from constants in any way. What multiplies and can't be counted is named
(`Network.uncounted_products`).

The scheme is the one that the file's metadata names (paconv.onnx_file.scheme_note). A scheme may export a convolution
as several: Group-Net one per base, which are counted as what they are, SYQ one per pixel of the kernel, which are put
together again (paconv.network.parts).

The same network has the same layers in each form. alpha, beta, v and the output scale of PABitConv are no
parameters of the paper's accounting. Folded batch norms and bias parameters come from the optimizer's note
(paconv.network.parameters_note). A file without a note, or with one that doesn't fit its layers, is read as follows,
and says so in `Network.inferred`: a scale other than 1 is a batch norm of O channels, unless it is the unit of integer
levels, the same for all channels; a bias other than 0 where there is no such batch norm is a bias; endpoints per
channel are a batch norm of C channels, once for each binarized input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, inliner, numpy_helper

from paconv.errors import ModelError
from paconv.network.layers import (
    BATCH_NORM,
    CONV,
    LINEAR,
    DataOp,
    HeldParameters,
    Layer,
    Network,
    Planes,
    Uncounted,
)
from paconv.network.parameters_note import KEY, read_note
from paconv.network.parts import kernel_part, with_whole_kernels
from paconv.network.products import PRODUCTS, Product, multiplies
from paconv.network.shortcuts import is_shortcut
from paconv.network.windows import with_window_placement
from paconv.onnx_file.graph_view import GraphView, Parameter, attribute, op_name, subgraphs
from paconv.onnx_file.scheme_note import KEY as SCHEME_KEY
from paconv.onnx_file.scheme_note import read_scheme
from paconv.onnx_file.shapes import constant_shapes, fixed_input_shapes, tensor_shapes
from paconv.ops import DOMAIN
from paconv.passes.fuse.unfuse import canonical
from paconv.schemes import SCHEMES

__all__ = ["canonical_form", "network", "parameters"]

_CONV_OPS = {op for op, product in PRODUCTS.items() if product.kind != LINEAR} | {f"{DOMAIN}.PABitConv"}

_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}


def network(model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]] | None = None) -> Network:
    """Layers of a checked model, with shapes.

    Args:
        model: From paconv.onnx_file.loading.load_model.
        input_shapes: Sizes of free dimensions, as returned by paconv.onnx_file.shapes.parse_input_shapes; a free batch
            is 1.

    Raises:
        UsageError: A dimension stays free (it is named).
        ModelError: Shapes can't be inferred, or contradict one another.
    """
    model = canonical_form(model)
    inputs = fixed_input_shapes(model, input_shapes)
    products = [node for node in model.graph.node if op_name(node) in PRODUCTS or op_name(node) in _CONV_OPS]
    shapes = tensor_shapes(model, inputs, {name for node in products for name in (*node.input, *node.output) if name})
    extraction = _Extraction(model, shapes)
    found = with_whole_kernels(extraction.network(), extraction.scheme)
    return replace(found, batch=next(iter(inputs.values()))[0] if inputs and all(inputs.values()) else 1)


def parameters(model: onnx.ModelProto) -> Network:
    """The same layers without input and output shapes.

    That is enough to count parameters of a model with free dimensions.
    """
    return _Extraction(canonical_form(model), None).network()


def canonical_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` as layers are read from it: fused chains undone, functions inlined that aren't paconv's own."""
    return canonical(_inlined(model))


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with all model-local functions but paconv's own inlined."""
    others = [(f.domain, f.name) for f in model.functions if f.domain != DOMAIN]
    return inliner.inline_selected_functions(model, others) if others else model


class _Extraction:
    """One walk over a model's live nodes."""

    def __init__(self, model: onnx.ModelProto, shapes: Mapping[str, tuple[int | None, ...]] | None):
        self.model = model
        self.view = GraphView(model.graph)
        self.remarks: list[str] = []
        self.note = self._fitting_note()
        self.scheme = self._known_scheme()
        self.shapes = shapes
        self.stored_as: Counter[str] = Counter()
        self.convs = {n.output[0] for n in self.view.nodes if op_name(n) in _CONV_OPS}
        self.layers: list[Layer] = []
        self.batch_norms: list[Layer] = []
        self.owned: set[tuple[str, ...]] = set()
        self.consumed: set[str] = set()
        self.folded_inputs: set[str] = set()
        self.has_bit_convs = False

    def network(self) -> Network:
        uncounted: Counter[str] = Counter()
        held: list[HeldParameters] = []
        moving: list[DataOp] = []
        products: list[Uncounted] = []
        for node in self.view.nodes:
            if self.view.is_constant(node):
                continue
            layer = self._layer(node)
            if layer is not None:
                (self.batch_norms if layer.kind == BATCH_NORM else self.layers).append(layer)
        for node in self.view.nodes:
            if self.view.is_constant(node) or node.output[0] in self.consumed:
                continue
            uncounted[op_name(node)] += 1
            uncounted.update(f"{op_name(node)}/{op_name(inner)}" for inner in _nested(node))
            products.extend(self._products(node))
            held.extend(self._held(node))
            moving.append(DataOp(op_name(node), self._elements(node)))
        self._apply_note()
        guess = self.has_bit_convs and self.note is None
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.stored_as.items())
        stored = f"weights that the file stores as {kinds} count as the float weights that they stand for, 32 bits each"
        return Network(
            layers=(*self.layers, *self.batch_norms),
            uncounted_ops=dict(sorted(uncounted.items())),
            data_ops=tuple(moving),
            uncounted_parameters=tuple(held),
            uncounted_products=tuple(products),
            remarks=(*self.remarks, *([stored] if kinds else [])),
            inferred="folded batch norms and biases are inferred: the file has no metadata "
            f"{KEY}{' that fits it' if self.remarks else ''}"
            if guess
            else "",
        )

    def _products(self, node: onnx.NodeProto) -> Iterator[Uncounted]:
        """The node, and the nodes of its subgraphs, that multiply."""
        if multiplies(op_name(node)):
            why = "its weight's shape isn't known" if op_name(node) in PRODUCTS else "an op that isn't counted"
            yield Uncounted(self.view.label(node), op_name(node), why)
        for inner in _nested(node):
            if multiplies(op_name(inner)):
                name = inner.name or next(iter(inner.output), "")
                yield Uncounted(name, f"{op_name(node)}/{op_name(inner)}", "how often it runs isn't known")

    def _layer(self, node: onnx.NodeProto) -> Layer | None:
        op = op_name(node)
        layer: Layer | None
        if op == f"{DOMAIN}.PABitConv":
            layer = self._bit_conv(node)
        elif op in PRODUCTS and PRODUCTS[op].kind == LINEAR:
            layer = self._linear(node, PRODUCTS[op])
        elif op in PRODUCTS:
            layer = self._conv(node, PRODUCTS[op])
        elif op == "BatchNormalization":
            layer = self._batch_norm(node)
        else:
            return None
        if layer is not None:
            self.consumed.add(node.output[0])
        return layer

    def _conv(self, node: onnx.NodeProto, product: Product) -> Layer | None:
        data = node.input[product.data]
        weight = self._weight(node.input[product.weight])
        if weight is None:
            return None
        activation = self._activation(data) if weight.coder is not None else None
        layer = self._with_weight(node, product, weight, group=attribute(node, "group", 1))
        if weight.coder is not None:
            layer = replace(layer, planes=self._planes(weight.coder, activation))
        source = self._unpadded(data)
        read, content = source if product.kind == CONV else data, ""
        if activation is not None:
            self.consumed |= {activation.output[0], *self._by_channel(activation.input[0])}
            read, content = data, self._content(activation.input[1])
            if activation.output[0] == source:
                source = self._unpadded(activation.input[0])
                read = f"{source}|{content}"
        layer = replace(layer, input_id=read, compared_by=content)
        channels = weight.shape[0] if product.kind == CONV else weight.shape[1] * layer.group
        bias = self._bias(node, product.bias, channels, weight.leaf)
        layer = replace(layer, bias=bias, shortcut=self._is_shortcut(node, data, weight.shape))
        layer = with_window_placement(node, layer)
        if product.kind == CONV:  # what is padded is compared before
            layer = replace(layer, input_shape=self._shape(source, layer.name))
        return self._with_part(node, layer, activation)

    def _by_channel(self, tensor: str) -> set[str]:
        """What a quantizer does to its channels before it compares them: tensors from `tensor` back that are another
        tensor shifted or stretched by constants, and that quantizers alone read. Optimizing folds them into endpoints.
        """
        found: set[str] = set()
        while (node := self.view.producer.get(tensor)) is not None and op_name(node) in ("Add", "Sub", "Mul", "Div"):
            sources = [name for name in node.input if name not in self.view.constants]
            readers = self.view.consumers[tensor]
            quantizers = all(op_name(reader) == f"{DOMAIN}.PAActivation" for reader in readers)
            if len(sources) != 1 or not (quantizers if not found else len(readers) == 1):
                break
            found.add(tensor)
            tensor = sources[0]
        return found

    def _unpadded(self, tensor: str) -> str:
        """The tensor that `tensor` is, apart from constants around it."""
        while (node := self.view.producer.get(tensor)) is not None and op_name(node) in ("Identity", "Pad"):
            if attribute(node, "mode", b"constant") != b"constant":
                break
            tensor = node.input[0]
        return tensor

    def _with_part(self, node: onnx.NodeProto, layer: Layer, activation: onnx.NodeProto | None) -> Layer:
        part = kernel_part(self.view, node, activation) if self.scheme == "syq" and self.shapes else None
        return layer if part is None else replace(
            layer, part=replace(part, input_shape=self._shape(part.source, layer.name))
        )  # fmt: skip

    def _bit_conv(self, node: onnx.NodeProto) -> Layer:
        self.has_bit_convs = True
        X, W, alpha, v, sign, beta, scale, bias = node.input
        shape = tuple(attribute(node, "weight_shape"))
        planes = Planes(
            scheme=self.scheme,
            M=self._dims(alpha)[1] - 1,
            N=self._dims(beta)[0] - 1,
            endpoints=self._dims(v)[1],
            weight_levels=len(attribute(node, "weight_masks")),
        )
        layer = self._with_weight(node, Product(CONV), Parameter(shape, W, node), group=attribute(node, "group"))
        content = f"{self._content(v)}|{self._content(sign)}"
        source = self._unpadded(X)
        key = f"{source}|{content}"
        if self.note is None:
            if self._value(scale, 1) or self._is_unit(alpha, beta, scale):
                layer = replace(layer, bias=0 if self._value(bias, 0) else shape[0])
            else:
                self.batch_norms.append(Layer(f"{self.view.label(node)} (output scale)", BATCH_NORM, (shape[0],)))
            if self._dims(v)[0] > 1 and key not in self.folded_inputs:
                self.folded_inputs.add(key)
                self.batch_norms.append(Layer(f"{self.view.label(node)} (endpoints)", BATCH_NORM, (self._dims(v)[0],)))
        shortcut = self._is_shortcut(node, X, shape)
        layer = replace(layer, planes=planes, input_id=key, compared_by=content, shortcut=shortcut)
        layer = replace(with_window_placement(node, layer), input_shape=self._shape(source, layer.name))
        return self._with_part(node, layer, None)

    def _linear(self, node: onnx.NodeProto, product: Product) -> Layer | None:
        left, right = node.input[product.data], node.input[product.weight]
        own_left = left in self.view.constants  # W x
        weight = self._weight(left if own_left else right)
        if weight is None or not weight.shape:
            return None
        turned = bool(attribute(node, "transA" if own_left else "transB", 0))
        *many, inner, outer = (1, *weight.shape) if len(weight.shape) == 1 else weight.shape
        if turned != own_left:
            inner, outer = outer, inner
        if len(weight.shape) == 1:
            inner, outer = weight.shape[0], 1
        layer = self._with_weight(node, product, replace(weight, shape=(prod(many) * outer, inner)))
        return replace(layer, bias=self._bias(node, product.bias, prod(many) * outer, weight.leaf))

    def _batch_norm(self, node: onnx.NodeProto) -> Layer | None:
        scale = self._weight(node.input[1])
        if scale is None:
            return None
        stored = [self._weight(name) for name in node.input[1:5]]
        shared = self._owned_before(*("" if each is None else each.leaf for each in stored))
        return Layer(self.view.label(node), BATCH_NORM, scale.shape, shares_weights=shared)

    def _weight(self, name: str) -> Parameter | None:
        """What stands at a weight's place: a constant, made in any way, or a tensor; None if its shape isn't known."""
        found = self.view.parameter(name)
        if found is not None:
            return found
        constant = name in self.view.constants
        shape = (self._constant_shapes if constant and self.shapes is None else self.shapes or {}).get(name)
        if shape is None or not all(shape):
            return None
        leaves = [(prod(self.view.stored[leaf].dims), leaf) for leaf in self.view.leaves(name)] if constant else []
        size, leaf = max(leaves, default=(0, name))
        known = tuple(d for d in shape if d is not None)
        return Parameter(known, leaf if size >= prod(known) else name)

    @cached_property
    def _constant_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return constant_shapes(self.model)

    def _with_weight(self, node: onnx.NodeProto, product: Product, weight: Parameter, group: int = 1) -> Layer:
        name, data = self.view.label(node), node.input[product.data]
        computed = weight.leaf not in self.view.constants
        stored = self.view.stored.get(weight.leaf)
        if weight.coder is None and stored is not None and stored.data_type not in _FLOATS:
            self.stored_as[TensorProto.DataType.Name(stored.data_type).lower()] += prod(weight.shape)
        return Layer(
            name,
            product.kind,
            weight.shape,
            input_shape=self._shape(data, name),
            output_shape=self._shape(node.output[0], name),
            group=group,
            input_id=data,
            shares_weights=not computed and self._owned_before(weight.leaf),
            computed_weights=computed,
        )

    def _planes(self, coder: onnx.NodeProto, activation: onnx.NodeProto | None) -> Planes:
        if coder.op_type == "PAUnpackWeight":
            M, levels = self._dims(coder.input[1])[1] - 1, len(attribute(coder, "weight_masks"))
        elif len(coder.input) > 4:  # its planes are given
            M, levels = self._dims(coder.input[3])[1] - 1, len(np.unique(self._array(coder.input[4])))
        else:
            M = self._length(coder.input[1])
            levels = M + 1
        if activation is None:
            return Planes(self.scheme, M, None, endpoints=0, weight_levels=levels)
        endpoints = self._length(activation.input[1])
        N = self._length(activation.input[3]) - 1 if len(activation.input) > 4 else endpoints
        return Planes(self.scheme, M, N, endpoints=endpoints, weight_levels=levels)

    def _activation(self, tensor: str) -> onnx.NodeProto | None:
        """The PAActivation node that `tensor` comes from, Identity, Pad and MaxPool looked through."""
        while tensor in self.view.producer:
            node = self.view.producer[tensor]
            if node.domain == DOMAIN and node.op_type == "PAActivation":
                return node
            if op_name(node) not in ("Identity", "Pad", "MaxPool"):
                return None
            tensor = node.input[0]
        return None

    def _bias(self, node: onnx.NodeProto, position: int | None, channels: int, weight: str) -> int:
        """Bias parameters: the node's own bias input, or a constant per channel that is added next.

        weight: the tensor of its weights. A bias is shared by layers that share that too: two layers of equal biases
        have one each, though a file may store them once.
        """
        if position is not None and len(node.input) > position and node.input[position]:
            found = self._weight(node.input[position]) if node.input[position] in self.view.constants else None
            if found is not None and not self._owned_before(weight, found.leaf):
                return prod(found.shape)
            return 0
        readers = self.view.consumers[node.output[0]]
        if len(readers) == 1 and op_name(readers[0]) == "Add":
            for name in readers[0].input:
                found = self._weight(name) if name in self.view.constants else None
                if found is not None and prod(found.shape) == channels:
                    self.consumed.add(readers[0].output[0])
                    return 0 if self._owned_before(weight, found.leaf) else channels
        return 0

    def _owned_before(self, *leaves: str) -> bool:
        """Whether an earlier layer stores these tensors together; from now on one does."""
        if leaves in self.owned:
            return True
        self.owned.add(leaves)
        return False

    def _is_shortcut(self, node: onnx.NodeProto, data: str, weight_shape: tuple[int, ...]) -> bool:
        return all(k == 1 for k in weight_shape[2:]) and is_shortcut(self.view, node, data, self.convs)

    def _shape(self, tensor: str, layer: str) -> tuple[int, ...]:
        if self.shapes is None:
            return ()
        shape = self.shapes.get(tensor)
        if shape is None or not all(d is not None and d > 0 for d in shape):
            found = "none" if shape is None else ", ".join("?" if d is None else str(d) for d in shape)
            raise ModelError(
                f"layer {layer}: expected a known shape of tensor {tensor}; found {found}; "
                "fix the model's dimensions (--input-shape) or run a shape inference over it first"
            )
        return tuple(d for d in shape if d is not None)

    def _elements(self, node: onnx.NodeProto) -> int | None:
        """Elements of the tensors that a node reads and writes, constants apart."""
        shapes = [(self.shapes or {}).get(name) for name in (*self.view.dynamic_inputs(node), *node.output) if name]
        total = 0
        for shape in shapes:
            if shape is None or any(d is None for d in shape):
                return None
            total += prod(d for d in shape if d is not None)
        return total

    def _stored(self, name: str) -> onnx.TensorProto:
        if name not in self.view.stored:
            raise ModelError(
                f"expected {name}, an input of a {DOMAIN} op, to be a constant stored in the file; it is computed"
            )
        return self.view.stored[name]

    def _array(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self._stored(name))

    def _dims(self, name: str) -> tuple[int, ...]:
        return tuple(self._stored(name).dims)

    def _length(self, name: str) -> int:
        return prod(self._dims(name))

    def _content(self, name: str) -> str:
        """Equal for equal constants."""
        array = self._array(name)
        return f"{array.shape}{array.tobytes().hex()}"

    def _value(self, name: str, value: float) -> bool:
        return bool(np.all(self._array(name) == value))

    def _is_unit(self, alpha: str, beta: str, scale: str) -> bool:
        """Whether the output scale may be nothing but the unit of integer levels."""
        integers = all((np.rint(array) == array).all() for array in (self._array(alpha), self._array(beta)))
        return integers and bool(np.ptp(self._array(scale)) == 0)

    def _held(self, node: onnx.NodeProto) -> list[HeldParameters]:
        """Floating-point constants of more than one element that an uncounted node reads."""
        names = dict.fromkeys(leaf for i in node.input if i in self.view.constants for leaf in self.view.leaves(i))
        tensors = [self.view.stored[name] for name in names]
        sizes = [prod(t.dims) for t in tensors]
        return [
            HeldParameters(self.view.label(node), op_name(node), name, size)
            for name, tensor, size in zip(names, tensors, sizes, strict=True)
            if tensor.data_type in _FLOATS and size > 1
        ]

    def _fitting_note(self) -> dict[str, dict[str, int]] | None:
        """The optimizer's note; None without one, or with one that doesn't fit the graph, which is remarked."""
        try:
            note = read_note(self.model)
        except ModelError as error:
            self.remarks.append(str(error))
            return None
        gone = sorted(set(note["bias"]) - set(map(self.view.label, self.view.nodes))) if note else []
        if not gone:
            return note
        self.remarks.append(
            f"metadata {KEY} names the layer {gone[0]}, which the graph doesn't have: another tool has changed the "
            "file since it was optimized"
        )
        return None

    def _known_scheme(self) -> str:
        name = read_scheme(self.model)
        if name in SCHEMES:
            return name
        self.remarks.append(
            f"metadata {SCHEME_KEY}: expected {', '.join(SCHEMES)}; found {name!r}, counted by PA's rules: update "
            "paconv, or export it again"
        )
        return "pa"

    def _apply_note(self) -> None:
        if self.note is None:
            return
        bias, channels = self.note["bias"], self.note["batch_norm"]
        self.layers = [replace(layer, bias=bias.get(layer.name, 0)) for layer in self.layers]
        self.batch_norms = [Layer(name, BATCH_NORM, (size,)) for name, size in channels.items()]


def _nested(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The nodes in a node's subgraphs (If, Loop, Scan), constants apart."""
    inner = [n for graph in subgraphs(node) for n in graph.node]
    return [each for n in inner for each in [n, *_nested(n)] if each.op_type != "Constant"]
