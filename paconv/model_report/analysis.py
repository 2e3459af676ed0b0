"""From a packed file, and what may be given beside it, to all that its report says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from paconv._version import __version__
from paconv.bits import WORD_BITS
from paconv.cost.count import Cost, NetworkCost, count
from paconv.cost.host.work import filling
from paconv.errors import ModelError, UsageError
from paconv.kernels.arguments import LANES
from paconv.measure.environment import environment
from paconv.model_report.advice import advice
from paconv.model_report.contents import Distribution, LayerPart, LevelShare, Measurement, Report, Side, Totals
from paconv.model_report.float_twin import float_twin
from paconv.model_report.labels import labels
from paconv.model_report.packed import PackedConv, packed_convs
from paconv.model_report.parent import FLOAT, Parent, parent_of
from paconv.model_report.real_weights import real_weights
from paconv.model_report.sampled import Sampled, Samples, sampled
from paconv.model_report.times import LayerTimes, Predicted, layer_times, predicted, whole_networks
from paconv.network.extract import network
from paconv.network.layers import BATCH_NORM, CONV_TRANSPOSE, LINEAR, Layer
from paconv.network.parameters_note import read_note
from paconv.onnx_file.graph_view import GraphView, attribute, op_name
from paconv.onnx_file.loading import load_model
from paconv.onnx_file.shapes import fixed_input_shapes
from paconv.ops import DOMAIN
from paconv.passes.fuse.unfuse import canonical
from paconv.quantization.plan import plan
from paconv.runtime.inspection import NodeKernel, node_kernels
from paconv.verification.inputs import given_inputs

__all__ = ["SECONDS", "analyse"]

SECONDS = 4.0
"""That are spent on measuring, about."""

_FILE_SAYS_NOTHING = (
    "Its place and shape would allow to quantize it, and the file doesn't say why it wasn't: it was named to be kept "
    "(keep, --keep), or its error was too large (--keep-worst, --most-error)."
)

_DISTURBED = 1.3
"""From so many times the fastest calls of all nodes together on, even the best call of the whole was disturbed."""

_TAKEN_IN = ("Add", "BatchNormalization", "Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh")
"""onnxruntime does these within a float convolution. It is the last one before an addition that takes that in."""

Progress = Callable[[str], None]


def analyse(
    path: str | os.PathLike,
    *,
    reference: str | os.PathLike | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    seconds: float | None = SECONDS,
    int8: bool = False,
    progress: Progress = lambda what: None,
) -> Report:
    """Everything that a report says of the packed file `path`.

    Args:
        path: From `paconv optimize`.
        reference: Its float parent, or the exported model.onnx.
        inputs: Samples by name of the input.
        input_shapes: Sizes of free dimensions, as parse_input_shapes returns them; those of `inputs` without them.
        seconds: To measure for; None to measure nothing.
        int8: Measure onnxruntime's 8-bit form of the float network too.
        progress: Called with what is done next.

    Raises:
        ModelError: A file can't be used, or doesn't run.
        UsageError: A dimension stays free, or reference or inputs don't fit.
    """
    if int8 and seconds is None:
        raise UsageError("int8: the 8-bit form is there to be measured; leave out --no-measure")
    path = Path(path)
    progress("reading")
    fused = load_model(path)
    model = canonical(fused, str(path))
    packed = packed_convs(model, str(path))
    if not packed:
        raise ModelError(f"{path}: expected a packed model; found no PABitConv (paconv optimize makes them)")
    given = _by_name(model, inputs) if inputs else {}
    shapes = input_shapes or {name: array.shape[1:] for name, array in given.items()}
    layers = network(model, shapes)
    fixed = fixed_input_shapes(model, shapes)
    counted = count(layers)
    parent = None if reference is None else parent_of(reference, packed)
    twin = float_twin(model, packed)
    samples = None
    if given:
        progress("running samples")
        samples = sampled(model, packed, given, parent)
    expected = predicted(layers)
    measured = None
    if seconds is not None:
        progress("measuring")
        feeds = _feeds(model, fixed, given)
        measured = _measured(path, model, twin, parent, feeds, seconds, int8, _size(reference))
    progress("putting it together")
    parts = _Parts(fused, model, packed, counted, parent, samples, expected, measured, twin, node_kernels(str(path)))
    found = parts.all()
    totals = _totals(path, counted, expected, measured, samples)
    total = expected.total if totals.nodes_measured is None else totals.nodes_measured
    return Report(
        source=path.name,
        reference="" if reference is None else Path(reference).name,
        reference_kind="" if parent is None else parent.kind,
        samples=0 if samples is None else samples.count,
        batch=layers.batch,
        version=__version__,
        layers=found,
        totals=totals,
        measurement=None if measured is None else measured.whole,
        advice=advice(found, total),
        unmatched=() if parent is None else tuple(name for name in packed if name not in parent.weights),
    )


class _Measured:
    """Times of whole networks and within them."""

    def __init__(self, whole: Measurement, own: LayerTimes | None, real: LayerTimes | None):
        self.whole = whole
        both = own is not None and real is not None
        self.own = own if both else None
        self.real = real if both else None


def _measured(
    path: Path,
    model: onnx.ModelProto,
    twin: onnx.ModelProto,
    parent: Parent | None,
    feeds: Mapping[str, np.ndarray],
    seconds: float,
    int8: bool,
    reference_size: int | None,
) -> _Measured:
    real = parent.model if parent is not None and parent.kind == FLOAT else twin
    what = "the reference" if real is not twin else "this network with float convolutions of the same shapes"
    whole = whole_networks(path, real, feeds, seconds / 2, int8)
    about = environment()
    versions = about["versions"]
    machine = (
        f"{about['cpu']}, kernels for {about['level']}, one thread, onnxruntime {versions['onnxruntime']}, "
        f"{about['date'].partition('T')[0]}"
    )
    names = _node_names(model)
    own = layer_times(path, feeds, seconds / 4, whole.own.best, names)
    real_times = layer_times(twin, feeds, seconds / 4, whole.real.best, names)
    calls = ((whole.own.best, own), (whole.real.best, real_times))
    disturbed = any(times is not None and call > _DISTURBED * times.total for call, times in calls)
    return _Measured(
        Measurement(
            whole.own.best,
            whole.real.best,
            None if whole.int8 is None else whole.int8.best,
            whole.int8_bytes,
            what,
            machine,
            whole.noise,
            whole.busy or disturbed,
        ),
        own,
        real_times,
    )


def _node_names(model: onnx.ModelProto) -> dict[str, str]:
    """What onnxruntime's profile may call a layer's node -> the layer's name.

    Its own name, that of its result, or, as onnxruntime takes what follows into a convolution, of a later result.
    """
    view = GraphView(model.graph)
    weighted = ("Conv", "ConvTranspose", "Gemm", "MatMul", f"{DOMAIN}.PABitConv")
    nodes = [node for node in view.nodes if op_name(node) in weighted]
    found = {}
    for node in nodes:
        result, label = node.output[0], view.label(node)
        found[label] = found[result] = label
        while len(readers := view.consumers[result]) == 1 and op_name(readers[0]) in _TAKEN_IN:
            result = readers[0].output[0]
            found[result] = label
    return found


def _feeds(
    model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]], inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """One batch: the first samples given, or standard normal ones."""
    if inputs:
        return {name: np.ascontiguousarray(array[: shapes[name][0]]) for name, array in inputs.items()}
    rng = np.random.default_rng(0)
    types = {i.name: onnx.helper.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type) for i in model.graph.input}
    whole = [name for name in shapes if not np.issubdtype(types[name], np.floating)]
    if whole:
        raise UsageError(
            f"input '{whole[0]}' is {types[whole[0]]}, not random numbers; give arrays with --inputs FILE.npz"
        )
    return {name: rng.standard_normal(shape).astype(types[name]) for name, shape in shapes.items()}


def _by_name(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """An array for each input. Raises UsageError where they don't fit."""
    stored = {i.name for i in model.graph.initializer}
    return given_inputs([i for i in model.graph.input if i.name not in stored], inputs)


def _size(path: str | os.PathLike | None) -> int | None:
    return None if path is None else os.path.getsize(path)


def _totals(
    path: Path, counted: NetworkCost, expected: Predicted, measured: _Measured | None, samples: Samples | None
) -> Totals:
    cost = counted.totals
    weights = sum(layer.weights for layer in counted.network)
    agreement = samples.agreement if samples else ()
    same = [a.same_choice for a in agreement if a.same_choice is not None]
    return Totals(
        file_bytes=os.path.getsize(path),
        packed_bytes=cost.level_index_bits / 8,
        float_bytes=cost.float_bits / 8,
        int8_bytes=weights + 4 * (cost.parameters - weights),
        macs=cost.macs,
        binary_macs=cost.macs - cost.real_macs,
        flops=float(cost.flops),
        parameters=cost.parameters,
        binary_parameters=cost.binary_weights,
        predicted=expected.total,
        float_predicted=expected.real_total,
        rest_predicted=expected.rest(),
        rest_float_predicted=expected.rest(real=True),
        rates=expected.rates,
        nodes_measured=None if measured is None or measured.own is None else measured.own.total,
        rest_measured=None if measured is None or measured.own is None else measured.own.rest,
        float_nodes_measured=None if measured is None or measured.real is None else measured.real.total,
        rest_float_measured=None if measured is None or measured.real is None else measured.real.rest,
        same_choice=min(same, default=None),
        output_error=max((a.error for a in agreement), default=None),
    )


class _Parts:
    """One walk over the layers, with all that is known of them."""

    def __init__(
        self,
        fused: onnx.ModelProto,
        model: onnx.ModelProto,
        packed: Mapping[str, PackedConv],
        counted: NetworkCost,
        parent: Parent | None,
        samples: Samples | None,
        expected: Predicted,
        measured: _Measured | None,
        twin: onnx.ModelProto,
        kernels: Sequence[NodeKernel],
    ):
        self.packed, self.counted, self.parent, self.samples = packed, counted, parent, samples
        self.expected, self.measured = expected, measured
        self.kernels = {kernel.node: kernel for kernel in kernels}
        self.links = _links(fused)
        self.channel_last = {node.name for node in fused.graph.node if node.op_type == "PADepthwiseConv"}
        self.labels = labels(c.layer.name for c in counted.layers)
        self.note = read_note(model)
        self.reasons = {layer.name: layer.reason for layer in plan(twin).real}

    def all(self) -> tuple[LayerPart, ...]:
        costs = [(c.layer, c.cost) for c in self.counted.layers if c.layer.kind != BATCH_NORM]
        return tuple(self._part(f"layer-{k}", layer, cost) for k, (layer, cost) in enumerate(costs, 1))

    def _part(self, id: str, layer: Layer, cost: Cost) -> LayerPart:
        conv, kernel = self.packed.get(layer.name), self.kernels.get(layer.name)
        shown = self.samples.layers.get(layer.name) if self.samples else None
        full, text = _filling(layer, kernel) if conv is not None else (None, "")
        weights = None if conv is None else self._weights(layer.name, conv)
        measured = self.measured
        return LayerPart(
            id=id,
            name=layer.name,
            label=self.labels[layer.name],
            kind=_kind(layer, kernel),
            shape=_shape(layer),
            makes="×".join(map(str, layer.output_shape[2:])),  # noqa: RUF001
            planes=None if layer.planes is None else (layer.planes.M, layer.planes.N),
            macs=layer.macs,
            flops=float(cost.flops),
            bytes=cost.level_index_bits / 8,
            float_bytes=cost.float_bits / 8,
            predicted=self.expected.layers.get(layer.name),
            float_predicted=self.expected.real.get(layer.name),
            measured=None if measured is None or measured.own is None else measured.own.layers.get(layer.name),
            float_measured=None if measured is None or measured.real is None else measured.real.layers.get(layer.name),
            by_measured=measured is not None and measured.own is not None,
            kernel=_DEPTHWISE if layer.name in self.channel_last else _kernel(layer, kernel),
            kernel_reason=_kernel_reason(kernel),
            folded=self.links.get(layer.name, ()),
            real_reason="" if layer.planes is not None else self.reasons.get(layer.name, _FILE_SAYS_NOTHING),
            filling=full,
            filling_text=text,
            weights=weights,
            activations=None if conv is None else self._activations(layer.name, conv, shown),
            output_error=None if shown is None else shown.output_error,
            ours=layer.planes is not None or layer.name in self.channel_last,
        )

    def _weights(self, name: str, conv: PackedConv) -> Side:
        real = None if self.parent is None else self.parent.weights.get(name)
        distribution, error, missing = None, None, ""
        if real is not None:
            distribution, error = real_weights(conv, real)
            if distribution is None:
                missing = (
                    "The reference holds the levels in place of the real weights; --reference float.onnx has them."
                )
            elif distribution.levels and not distribution.endpoints:
                missing = "Real weights of neighbouring levels overlap, so that no endpoints part them."
        elif self.parent is not None:
            missing = "The reference has no convolution of this name and shape."
        else:
            missing = "--reference float.onnx (or the exported model.onnx) adds the histogram of the real weights."
        rows = len(conv.table)
        unit = (
            "before the output's scale" if rows == 1 else f"of the first of {rows} channels, before the output's scale"
        )
        levels = tuple(
            LevelShare(_level(value), float(share)) for value, share in zip(conv.table[0], conv.shares, strict=True)
        )
        if distribution is None:
            low, high = float(conv.table[0].min()), float(conv.table[0].max())
            distribution = Distribution((), low, high, (), tuple(map(float, conv.table[0])), "level of a weight", "u")
        return Side(levels, unit, distribution, missing, error, conv.dead_channels, len(conv.codes))

    def _activations(self, name: str, conv: PackedConv, shown: Sampled | None) -> Side:
        values = [_level(value) for value in conv.activation_values]
        unit = "before the output's scale"
        if shown is None:
            missing = "--inputs samples.npz adds the histogram of activations, and how often each level occurs."
            return Side(tuple(LevelShare(value, None) for value in values), unit, None, missing)
        missing = ""
        if self.parent is None:
            missing = "--reference float.onnx adds the error against the float network."
        levels = tuple(LevelShare(value, share) for value, share in zip(values, shown.shares, strict=True))
        return Side(
            levels, unit, shown.distribution, missing, shown.activation_error, shown.dead_channels, shown.channels
        )


def _level(value: float) -> str:
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def _kind(layer: Layer, kernel: NodeKernel | None) -> str:
    if layer.planes is not None:
        return "weights" if layer.planes.N is None else "planes" if kernel and kernel.kernel == "planes" else "codes"
    if layer.kind == LINEAR:
        return "linear"
    if layer.is_depthwise:
        return "depthwise"
    return "transposed" if layer.kind == CONV_TRANSPOSE else "real"


def _shape(layer: Layer) -> str:
    if layer.kind == LINEAR:
        return f"{layer.weight_shape[1]} → {layer.weight_shape[0]}"
    channels = f"{layer.input_shape[1]} → {layer.output_shape[1]}"
    text = f"{channels}, {'×'.join(map(str, layer.weight_shape[2:]))}"  # noqa: RUF001
    if set(layer.strides) - {1}:
        text += f", stride {'×'.join(map(str, dict.fromkeys(layer.strides)))}"  # noqa: RUF001
    if layer.group > 1:
        text += f", {layer.group} groups"
    return text


_DEPTHWISE = "paconv's float depthwise convolution, channel-last as its neighbours are"


def _kernel(layer: Layer, kernel: NodeKernel | None) -> str:
    if kernel is not None:
        return f"level codes ({kernel.kind})" if kernel.kernel == "codes" else "bit planes"
    if layer.planes is not None:
        return "onnxruntime's float convolution, its weights unpacked when the file is opened"
    return "onnxruntime's float matrix product" if layer.kind == LINEAR else "onnxruntime's float convolution"


def _kernel_reason(kernel: NodeKernel | None) -> str:
    if kernel is None:
        return ""
    if not kernel.codes_rate:
        return kernel.reason
    return (
        f"{kernel.reason}: for a pixel, 16 output channels and a window position, bit planes take "
        f"{kernel.planes_rate:.2f} ns, level codes {kernel.codes_rate:.2f} ns"
    )


def _filling(layer: Layer, kernel: NodeKernel | None) -> tuple[float | None, str]:
    """Part of the lanes and words that channels fill, and why in words."""
    if layer.planes is None or layer.planes.N is None:
        return None, ""
    out, depth = layer.weight_shape[0] // layer.group, layer.weight_shape[1]
    lanes = f"{out} output channels{' of a group' if layer.group > 1 else ''} in lanes of {LANES}"
    if kernel is not None and kernel.kernel == "planes":
        width = depth * layer.weight_shape[3] if depth < WORD_BITS else depth  # a window row lies side by side then
        words = width / (-(-width // WORD_BITS) * WORD_BITS)
        blocks = out / (-(-out // LANES) * LANES)
        return blocks * words, f"{lanes}, {width} bits in words of {WORD_BITS}"
    return filling(layer), f"{lanes}, {depth} input channels in words of 4"


def _links(fused: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """Label of a fused convolution -> what it does beside its sum."""
    view = GraphView(fused.graph)
    found = {}
    for node in view.nodes:
        if node.domain != DOMAIN or node.op_type not in ("PALevelConv", "PADepthwiseConv"):
            continue
        _, added, clipped = (name.decode() for name in attribute(node, "names"))
        done = ["reads level codes that an earlier node made"] if node.op_type == "PALevelConv" else []
        done += ["adds the residual"] if added else []
        done += ["clips (ReLU)"] if clipped else []
        compared = sum(bool(name) for name in node.output[1:])
        done += ["compares its result with the next layer's endpoints"] if compared == 1 else []
        done += ["compares its result with the endpoints of two layers"] if compared == 2 else []
        found[view.label(node)] = tuple(done)
    return found
