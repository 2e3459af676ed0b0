"""One PABitConv against the reference, fed the reference's own input X.

Four things are compared, in this order, and the first that differs is named:

    weights    table(alpha)[code] == W_bar of the reference                                           exactly
    decisions  level(X) == the level the reference's quantizer chose. They may differ only where the reference's own
               float32 rounding decides: the exact a = s x + b lies within its rounding bound of the endpoint. Such
               *flips* are counted. level(X) itself must be the level of the exact a (in float64), on the X at hand
               and on every endpoint of every channel and the floats beside it: so for any X.
    counts     |T_i & V_j| of the kernels == the product of the planes                                exactly
    outputs    |Y - y| <= gamma_{t+8} (|s| S + |b|), y the float64 result from the levels of X, S the sum of the
               absolute terms that the kernel adds (kernels/finish.py): the convolution of
               |alpha_0| + sum_i |alpha_i| T_i with |beta_0| + sum_j |beta_j| V_j, for PA sum |w a|. There are
               t = M N + 1 terms, with offsets t = M N + N + KH KW + 1, rounded in the kernel; scale and bias are
               narrowed once. And the reference's own output against the float64 result from its levels:
               gamma_{K+1} sum |w a| through what follows it (verification/bounds.py). So a flip never needs a
               looser bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import onnx

from paconv import ops
from paconv.bits import level_table, mask_bits, unpack_codes
from paconv.errors import VerifyError
from paconv.kernels.registry import CHOICES
from paconv.ops.pa_bit_conv import PA_BIT_CONV, check_parameters
from paconv.reference import activation_levels, windows
from paconv.verification.bounds import UNIT, Bounded, through
from paconv.verification.model import OpenModel, run_model

__all__ = ["Layer", "LayerResult", "check_layer", "layers_of"]

_CODES_ROOM = 2
"""The error of level codes is estimated from the levels alone (kernels/coding.py), for activations as a network has
them. Of 192 layers of trained networks none was beyond 1.12e-5 on images of the data; noise that no network was trained
on, as verify has it by default, reached 2.04e-5. A kernel that does something else is off by far more.
"""


@dataclass(frozen=True)
class Layer:
    """A PABitConv and where its parts lie in the reference.

    conv: the reference's Conv; activation, weight: the PAActivation and PAWeight calls it reads; parameters: the
    PABitConv's constant inputs by name; attributes as for ops.pa_bit_conv.check_parameters.
    """

    node: onnx.NodeProto
    conv: onnx.NodeProto
    activation: onnx.NodeProto
    weight: onnx.NodeProto
    attributes: dict
    parameters: dict[str, np.ndarray]

    @property
    def name(self) -> str:
        return self.node.name or self.node.output[0]

    @property
    def X(self) -> str:
        return self.node.input[0]

    @property
    def Y(self) -> str:
        return self.node.output[0]

    @property
    def tensors(self) -> list[str]:
        """What has to be read from the reference."""
        return [self.X, self.Y, self.activation.output[0], self.weight.output[0]]


@dataclass
class LayerResult:
    """decisions, flips: numbers of activations; largest_error: max |Y - y| / its bound, of bit planes; kernel: that the
    layer is served with; codes_error: of level codes, max |Y - y| over the convolution's largest value, None where the
    layer isn't served with them; difference: what is wrong.
    """

    name: str
    M: int
    N: int
    decisions: int = 0
    flips: int = 0
    counts: int = 0
    largest_error: float = 0.0
    kernel: str = "planes"
    codes_error: float | None = None
    difference: str | None = None

    @property
    def ok(self) -> bool:
        return self.difference is None


def layers_of(reference: OpenModel, optimized: OpenModel) -> list[Layer]:
    """Match every PABitConv with the reference's Conv. Raises VerifyError naming one that has no counterpart."""
    return [_match(node, reference, optimized) for node in optimized.bit_convs]


def _match(node: onnx.NodeProto, reference: OpenModel, optimized: OpenModel) -> Layer:
    convs = [n for n in reference.model.graph.node if n.op_type == "Conv" and node.name and n.name == node.name]
    convs = convs or [n for n in reference.model.graph.node if n.op_type == "Conv" and n.output[0] == node.output[0]]
    where = f"PABitConv '{node.name or node.output[0]}'"
    if reference.bit_convs:
        raise VerifyError(f"{reference.label} is optimized itself; compare with the model that it was made from")
    if len(convs) != 1:
        raise VerifyError(f"{where}: {reference.label} has no Conv of this name; is it the model that was optimized?")
    quantizers = []
    for index, op in ((0, "PAActivation"), (1, "PAWeight")):
        producer = reference.producer.get(convs[0].input[index])
        while producer is not None and producer.op_type in ("Identity", "Pad"):  # paconv.passes.merge_pad
            producer = reference.producer.get(producer.input[0])
        if producer is None or (producer.domain, producer.op_type) != (ops.DOMAIN, op):
            raise VerifyError(
                f"{where}: in {reference.label} its Conv does not read a {op}; is it the right reference?"
            )
        quantizers.append(producer)
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    names = [t.name for t in PA_BIT_CONV.inputs[1:]]
    if len(node.input) != len(names) + 1:
        raise VerifyError(f"{where}: expected {len(names) + 1} inputs; found {len(node.input)}")
    missing = [n for n, i in zip(names, node.input[1:], strict=True) if i not in optimized.constants]
    if missing:
        raise VerifyError(f"{where}: expected {', '.join(missing)} as initializers")
    parameters = {n: optimized.constants[i] for n, i in zip(names, node.input[1:], strict=True)}
    check_parameters(attributes, parameters, where)
    return Layer(node, convs[0], quantizers[0], quantizers[1], attributes, parameters)


def check_layer(layer: Layer, reference: OpenModel, values: dict[str, np.ndarray]) -> LayerResult:
    """Compare one layer on the reference's own tensors (`values`, by name)."""
    M, N = layer.parameters["alpha"].shape[1] - 1, layer.parameters["beta"].shape[0] - 1
    result = LayerResult(layer.name, M, N)
    codes = unpack_codes(layer.parameters["W"], prod(layer.attributes["weight_shape"]))
    codes = codes.reshape(layer.attributes["weight_shape"])
    X, Y = values[layer.X], values[layer.Y]
    levels = activation_levels(X, layer.parameters["v"], layer.parameters["sign"])
    result.difference = (
        _check_weights(layer, codes, values[layer.weight.output[0]])
        or _check_decisions(layer, levels, reference, values, result)
        or _check_counts(layer, X, codes, levels, result)
        or _check_outputs(layer, X, Y, codes, levels, reference, values, result)
    )
    return result


def _first(differs: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(differs)[0])


def _check_weights(layer: Layer, codes: np.ndarray, W_bar: np.ndarray) -> str | None:
    tables = level_table(layer.parameters["alpha"], layer.attributes["weight_masks"])
    if codes.max() >= tables.shape[1]:
        return f"weights: code {codes.max()} has no plane mask"
    tables = np.broadcast_to(tables, (len(codes), tables.shape[1]))
    w = np.take_along_axis(tables, codes.reshape(len(codes), -1).astype(np.int64), 1).reshape(codes.shape)
    differs = w != W_bar
    if differs.any():
        at = _first(differs)
        return f"weights: {int(differs.sum())} differ, first at {at}: {w[at]} instead of {W_bar[at]}"
    return None


@dataclass(frozen=True)
class _Decisions:
    """Levels of activations x by the PABitConv's endpoints, and of the exact a by the reference's.

    a: the reference's value before quantization, exact, with its bound; distance: |a - nearest endpoint|.
    """

    x: np.ndarray
    levels: np.ndarray
    exact: np.ndarray
    a: Bounded
    distance: np.ndarray

    def within(self, part: float) -> np.ndarray:
        """Where the endpoint is no further than this part of the bound. A value without rounding has no such excuse,
        also where it lies exactly on the endpoint.
        """
        bound = np.asarray(self.a.error) * part
        return (self.distance <= bound) & (bound > 0)

    @property
    def wrong(self) -> str | None:
        """Where the levels aren't those of the exact value; 2**-29 u is the rounding error of float64."""
        differs = (self.levels != self.exact) & ~self.within(2.0**-29)
        if not differs.any():
            return None
        at = _first(differs)
        return (
            f"{int(differs.sum())} of {self.levels.size} are not those of the exact value, first at {at}: level "
            f"{self.levels[at]} instead of {self.exact[at]} for x = {self.x[at]}, a = {self.a.value[at]}"
        )


def _decide(layer: Layer, reference: OpenModel, x: np.ndarray) -> _Decisions:
    a = Bounded(x.astype(np.float64))
    for node, source in reference.path(layer.X, layer.activation.input[0]):
        a = through(node, a, reference.constants, source)
    levels = activation_levels(x, layer.parameters["v"], layer.parameters["sign"])
    distance, exact = np.full(x.shape, np.inf), np.zeros(x.shape, np.uint8)
    for endpoint in reference.constants[layer.activation.input[1]].astype(np.float64):
        exact += a.value >= endpoint
        np.minimum(distance, np.abs(a.value - endpoint), out=distance, where=~np.isnan(a.value))
    return _Decisions(x, levels, exact, a, distance)


def _beside_endpoints(layer: Layer, channels: int) -> np.ndarray:
    """(1, C, 3, E) float32: each endpoint of each channel and the floats beside it, where decisions turn."""
    v = np.broadcast_to(layer.parameters["v"], (channels, layer.parameters["v"].shape[1]))
    v = np.where(np.isfinite(v), v, np.float32(0))
    sides = [np.nextafter(v, np.float32(-np.inf)), v, np.nextafter(v, np.float32(np.inf))]
    sign = layer.parameters["sign"].astype(np.float32)
    return (np.stack(sides, 1) * np.broadcast_to(sign, channels)[:, None, None])[None]


def _check_decisions(layer, levels, reference, values, result: LayerResult) -> str | None:
    A = values[layer.activation.output[0]]
    if A.shape != levels.shape:
        return f"decisions: X has shape {levels.shape}, the reference's quantized activation {A.shape}"
    table = level_table(layer.parameters["beta"], layer.attributes["level_masks"])
    beta = reference.constants[layer.activation.input[2]]
    if not np.array_equal(table, beta):
        return f"decisions: level values {table.tolist()} instead of {beta.tolist()}"

    beside = _decide(layer, reference, _beside_endpoints(layer, levels.shape[1])).wrong
    if beside:
        return f"decisions beside the endpoints: {beside}"
    found = _decide(layer, reference, values[layer.X])
    if found.wrong:
        return f"decisions: {found.wrong}"
    flipped = table[levels] != A
    unexplained = flipped & ~found.within(1.0)
    result.decisions, result.flips = levels.size, int(flipped.sum())
    if unexplained.any():
        at = _first(unexplained)
        return (
            f"decisions: {int(unexplained.sum())} of {levels.size} differ beyond the reference's rounding, first at "
            f"{at}: value {table[levels[at]]} instead of {A[at]} for x = {found.x[at]}, a = {found.a.value[at]}"
        )
    return None


def _one_node(layer: Layer, op: ops.OpSchema, rank: int) -> onnx.ModelProto:
    node = onnx.NodeProto()
    node.CopyFrom(layer.node)
    node.op_type = op.name
    node.input[0], node.output[0] = "X", "out"
    initializers = [
        onnx.numpy_helper.from_array(layer.parameters[t.name], name)
        for t, name in zip(op.inputs[1:], node.input[1:], strict=True)
    ]
    unique = {i.name: i for i in initializers}
    graph = onnx.helper.make_graph(
        [node],
        "layer",
        [onnx.helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, ["B", "C", "H", "W"])],
        [onnx.helper.make_tensor_value_info("out", op.outputs[0].dtype, [f"d{k}" for k in range(rank)])],
        list(unique.values()),
    )
    imports = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid(ops.DOMAIN, ops.OPSET_VERSION)]
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)


def _columns(layer: Layer, array: np.ndarray) -> np.ndarray:
    """Windows of (B, C, H, W) as (group, B*OH*OW, C/g*KH*KW), in array's dtype."""
    shape, group = layer.attributes["weight_shape"], layer.attributes["group"]
    view = windows(array, shape[2:], *(layer.attributes[n] for n in ("strides", "pads", "dilations")))
    size = view.shape[:3]
    split = view.reshape(*size, group, shape[1], *shape[2:]).transpose(3, 0, 1, 2, 4, 5, 6)
    return np.ascontiguousarray(split).reshape(group, prod(size), prod(shape[1:]))


def _check_counts(layer, X, codes, levels, result: LayerResult) -> str | None:
    """Image by image and activation plane by plane. Products of 0/1 planes in float32 are exact: below 2**24."""
    model = _one_node(layer, ops.PA_BIT_CONV_COUNTS, 6)
    group, out = layer.attributes["group"], len(codes)
    T = mask_bits(layer.attributes["weight_masks"], result.M)[codes].astype(np.float32)  # (O, C/g, KH, KW, M)
    T = np.moveaxis(T, -1, 0).reshape(result.M, group, out // group, -1).transpose(1, 3, 0, 2)
    T = np.ascontiguousarray(T).reshape(group, T.shape[1], -1)  # (group, K, M*O/g)
    V = mask_bits(layer.attributes["level_masks"], result.N).astype(np.float32)
    for image in range(len(X)):
        found = run_model(model, {"X": X[image : image + 1]}, ["out"], label=layer.name, plain=False)["out"][0]
        rows, columns = found.shape[-2:]
        for j in range(result.N):
            plane = _columns(layer, V[:, j][levels[image : image + 1]])
            expected = np.matmul(plane, T).reshape(group, rows, columns, result.M, out // group)
            expected = expected.transpose(3, 0, 4, 1, 2).reshape(result.M, out, rows, columns)
            differs = found[:, j] != expected
            if differs.any():
                i, *at = _first(differs)
                return (
                    f"counts: {int(differs.sum())} differ, first of image {image}, planes i={i + 1}, j={j + 1} at "
                    f"(o, h, w) = {tuple(at)}: {found[i, j][tuple(at)]} instead of {int(expected[(i, *at)])}"
                )
        result.counts += found.size
    return None


def _check_outputs(layer, X, Y_ref, codes, levels, reference, values, result: LayerResult) -> str | None:
    model = _one_node(layer, ops.PA_BIT_CONV, 4)
    found, served = (
        run_model(model, {"X": X}, ["out"], label=layer.name, plain=False, kernel=kernel)["out"]
        for kernel in ("planes", "auto")
    )
    if found.shape != Y_ref.shape:
        return f"outputs: shape {found.shape} instead of {Y_ref.shape}"
    W_bar = values[layer.weight.output[0]].astype(np.float64)
    table = level_table(layer.parameters["beta"], layer.attributes["level_masks"]).astype(np.float64)
    after = reference.path(layer.conv.output[0], layer.Y)
    K = prod(layer.attributes["weight_shape"][1:])

    def exact(A: np.ndarray, terms: np.ndarray | None = None) -> tuple[Bounded, np.ndarray]:
        """(reference's result with its bound, absolute sum of the terms of one output) from activations A; terms: that
        sum before the bias where it isn't sum |w a|."""
        conv, absolute = _convolve(layer, A, W_bar)
        terms = absolute if terms is None else terms
        error = _gamma(K + 1) * absolute
        if len(layer.conv.input) > 2 and layer.conv.input[2]:
            bias = reference.constants[layer.conv.input[2]].astype(np.float64)[None, :, None, None]
            conv, terms = conv + bias, terms + np.abs(bias)
            error = _gamma(K + 2) * (absolute + np.abs(bias))
        y, ends = Bounded(conv, error), (Bounded(np.zeros_like(conv)), Bounded(np.ones_like(conv)))
        for node, source in after:
            y = through(node, y, reference.constants, source)
            ends = tuple(through(node, end, reference.constants, source) for end in ends)
        slope = np.abs(ends[1].value - ends[0].value)
        return y, slope * terms + np.abs(ends[0].value)

    y, absolute = exact(table[levels], _absolute_terms(layer, codes, levels, W_bar, table))
    bound = _gamma(_terms(layer) + 8) * absolute
    error = np.abs(found - y.value)
    result.largest_error = float(np.max(error / np.maximum(bound, np.finfo(np.float64).tiny), initial=0))
    wrong = ~(error <= bound)
    if wrong.any():
        at = _first(wrong)
        return (
            f"outputs: {int(wrong.sum())} of {wrong.size} beyond their bound, first at {at}: {found[at]} instead of "
            f"{y.value[at]} (bound {bound[at]:.3g})"
        )
    if not np.array_equal(served, found, equal_nan=True):
        result.kernel = "codes"
        convolution = y.value - layer.parameters["bias"].astype(np.float64)[None, :, None, None]
        largest = np.abs(convolution).max(initial=np.finfo(np.float64).tiny)
        result.codes_error = float(np.max(np.abs(served - y.value), initial=0) / largest)
        allowed = _CODES_ROOM * CHOICES["codes"].error * largest
        wrong = ~(np.abs(served - y.value) <= allowed + bound)
        if wrong.any():
            at = _first(wrong)
            return (
                f"outputs with level codes: {int(wrong.sum())} of {wrong.size} beyond their bound, first at {at}: "
                f"{served[at]} instead of {y.value[at]} (bound {allowed + bound[at]:.3g})"
            )
    own, _ = exact(values[layer.activation.output[0]].astype(np.float64)) if result.flips else (y, absolute)
    wrong = ~(np.abs(Y_ref - own.value) <= own.error)
    if wrong.any():
        at = _first(wrong)
        return (
            f"outputs: the reference itself has {Y_ref[at]} at {at} instead of {own.value[at]} +- {own.error[at]:.3g}"
        )
    return None


def _terms(layer: Layer) -> int:
    """t: the terms that the kernel adds to make one output."""
    alpha, beta = layer.parameters["alpha"], layer.parameters["beta"]
    planes = (alpha.shape[1] - 1) * (len(beta) - 1)
    with_offsets = alpha[:, 0].any() or beta[0] != 0
    return planes + 1 + (len(beta) - 1 + prod(layer.attributes["weight_shape"][2:]) if with_offsets else 0)


def _absolute_terms(layer: Layer, codes, levels, W_bar: np.ndarray, table: np.ndarray) -> np.ndarray | None:
    """S (B, O, OH, OW): the sum of the absolute values of these terms; None where it is sum |w a|."""
    alpha, beta = (np.abs(layer.parameters[name]).astype(np.float64) for name in ("alpha", "beta"))
    weight_masks, level_masks = (layer.attributes[name] for name in ("weight_masks", "level_masks"))
    bits = mask_bits(weight_masks, alpha.shape[1] - 1)
    tables = np.broadcast_to(alpha[:, :1] + alpha[:, 1:] @ bits.T, (len(codes), len(weight_masks)))
    w = np.take_along_axis(tables, codes.reshape(len(codes), -1).astype(np.int64), 1).reshape(codes.shape)
    a = beta[0] + mask_bits(level_masks, len(beta) - 1) @ beta[1:]
    if np.array_equal(a, np.abs(table)) and np.array_equal(w, np.abs(W_bar)):
        return None
    return _convolve(layer, a[levels], w)[0]


def _gamma(k: int) -> float:
    return k * UNIT / (1 - k * UNIT)


def _convolve(layer: Layer, A: np.ndarray, W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Float64 convolution of A (B, C, H, W) with W, and that of the absolute values: (B, O, OH, OW) each."""
    group, out = layer.attributes["group"], len(W)
    weights = W.reshape(group, out // group, -1).transpose(0, 2, 1)
    results = ([], [])
    for image in range(len(A)):
        columns = _columns(layer, A[image : image + 1].astype(np.float64))
        size = windows(A[:1], W.shape[2:], *(layer.attributes[n] for n in ("strides", "pads", "dilations"))).shape[1:3]
        for result, c, w in ((results[0], columns, weights), (results[1], np.abs(columns), np.abs(weights))):
            result.append(np.matmul(c, w).transpose(0, 2, 1).reshape(out, *size))
    return np.stack(results[0]), np.stack(results[1])
