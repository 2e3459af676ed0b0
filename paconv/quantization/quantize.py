"""From a trained float network and some of its inputs to a PA network: no labels, no gradient, no torch.

    plain form -> plan -> march over the layers -> model.onnx

(paconv.onnx_file.plain, paconv.quantization.plan, .march, .write). What comes out is what `paconv export` writes: it
goes on through `paconv optimize`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from glob import escape
from math import ceil, prod
from typing import Any

import numpy as np
import onnx

from paconv.bits import code_bits
from paconv.errors import UsageError
from paconv.files import replacing
from paconv.onnx_file.graph_view import GraphView, attribute, op_name
from paconv.onnx_file.plain import PlainModel
from paconv.quantization.agreement import OutputAgreement, agreements, decibels
from paconv.quantization.linear_layers import convertible, with_linear_as_convolutions
from paconv.quantization.march import Layer, Marched, march
from paconv.quantization.plan import REASONS, Plan, PlannedLayer, plan
from paconv.quantization.segments import cut
from paconv.quantization.settings import Settings
from paconv.quantization.targets import targets_of, with_pads_absorbed
from paconv.quantization.write import written
from paconv.reporting.notebook import as_html
from paconv.reporting.tables import Column, Table
from paconv.schemes import spelled

__all__ = ["BATCH", "LayerOutcome", "Quantized", "quantize_plain"]

BATCH = 32
"""Samples that run at once."""

_TOO_FAR = "too-far"
_REASONS = {**REASONS, _TOO_FAR: "Quantizing it adds more error than was allowed."}


@dataclass(frozen=True)
class LayerOutcome:
    """What became of one layer."""

    name: str
    """Of its node."""
    op: str
    """Conv, ConvTranspose, Gemm or MatMul."""
    shape: tuple[int, ...]
    """Of its weight."""
    form: str
    """pa or real."""
    code: str
    """Why it is real; "" for pa."""
    reads: str
    """rectified or signed: what a pa layer quantizes; "" for a real one."""
    M: int | None
    """Weight planes of a pa layer."""
    N: int | None
    """Activation planes of a pa layer; None for real activations too."""
    digits: bool
    """Whether these are the binary digits of evenly spaced levels."""
    error: float | None
    """Squared error of its output in the quantized network, relative to the variance in the float one."""
    error_if_real: float | None
    """The same if only this layer had stayed real."""
    macs: int
    """Multiply-accumulates per sample; 0 if unknown."""
    parameters: int
    """Weights."""

    @property
    def scheme(self) -> str:
        """pa:M,N or pa:M,N,digits of a pa layer; "" for a real one."""
        return "" if self.M is None else spelled("pa", self.M, self.N, digits=self.digits)

    @property
    def reason(self) -> str:
        """Why it is real, as a sentence."""
        return _REASONS.get(self.code, "")

    @property
    def added(self) -> float | None:
        """By how much quantizing this layer raises the error."""
        return None if self.error is None or self.error_if_real is None else self.error - self.error_if_real

    @property
    def snr_db(self) -> float | None:
        """Signal-to-noise ratio of its output in decibels."""
        return None if self.error is None else decibels(self.error)


@dataclass(frozen=True)
class Quantized:
    """A quantized network, and what that did to it."""

    model: onnx.ModelProto
    """model.onnx: calls of PAWeight and PAActivation among standard ops."""
    layers: tuple[LayerOutcome, ...]
    """Every layer with weights, in the order of the nodes."""
    outputs: tuple[OutputAgreement, ...]
    """Every floating-point output."""
    samples: int
    """How many samples it was fitted to."""
    float_bytes: int
    """Size of the float file."""
    packed_bytes: int
    """What the file will weigh after `paconv optimize`, about."""
    marched: tuple[Layer, ...] = field(repr=False, compare=False)
    """The quantized convolutions themselves, in the order they run."""

    @property
    def pa(self) -> tuple[LayerOutcome, ...]:
        """The quantized layers."""
        return tuple(layer for layer in self.layers if layer.form == "pa")

    @property
    def macs_share(self) -> float | None:
        """Part of the multiply-accumulates that is quantized, from 0 to 1; None where they aren't known."""
        return _share([layer.macs for layer in self.pa], [layer.macs for layer in self.layers])

    @property
    def parameters_share(self) -> float | None:
        """Part of the weights that is quantized, from 0 to 1."""
        return _share([layer.parameters for layer in self.pa], [layer.parameters for layer in self.layers])

    def __repr__(self) -> str:
        said = ", ".join(f"{o.name} {o.snr_db:.1f} dB above the error" for o in self.outputs)
        return f"Quantized({len(self.pa)} of {len(self.layers)} layers from {self.samples} samples: {said})"

    def _repr_html_(self) -> str:
        columns = [Column(key, key, left=True) for key in ("layer", "weight", "form", "reads")]
        columns += [Column("error", "error", read="{:.2%}".format), Column("why", "why", left=True)]
        rows = [
            {
                "layer": layer.name,
                "weight": "x".join(map(str, layer.shape)),
                "form": layer.scheme or "real",
                "reads": layer.reads,
                "error": layer.error,
                "why": layer.reason,
            }
            for layer in self.layers
        ]
        size = f"{self.float_bytes:,} bytes as float, about {self.packed_bytes:,} after optimize"
        error = "error: squared, of the layer's output, relative to the float network's variance"
        return as_html(Table(repr(self), columns, rows, notes=[error, size]))

    def save(self, path: str | os.PathLike) -> None:
        """Write `model`. Raises PaconvError where that isn't possible."""
        with replacing(path) as temporary:
            temporary.write_bytes(self.model.SerializeToString())

    def as_data(self) -> dict:
        """All but the model as plain data."""
        return {
            "samples": self.samples,
            "macs_share": self.macs_share,
            "parameters_share": self.parameters_share,
            "float_bytes": self.float_bytes,
            "packed_bytes": self.packed_bytes,
            "outputs": [_finite({**vars(o), "snr_db": o.snr_db}) for o in self.outputs],
            "layers": [
                _finite({**vars(o), "reason": o.reason, "added": o.added, "snr_db": o.snr_db}) for o in self.layers
            ],
        }


def quantize_plain(
    source: PlainModel,
    samples: Mapping[str, np.ndarray],
    settings: Settings,
    *,
    keep: Sequence[str] = (),
    first: str = "real",
    last: str = "real",
    depthwise: str = "real",
    linear: str = "real",
    most_error: float | None = None,
    worst: int = 0,
    worst_levels: tuple[int, int | None] | tuple[int, int, bool] | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Quantized:
    """Quantize the network by the recipe of `settings`.

    Args:
        source: The float network.
        samples: Inputs by name, (n, ...) each.
        settings: Levels and method.
        keep: Names of layers that stay real, or patterns.
        first: As paconv.quantization.plan.plan.
        last: The same.
        depthwise: The same.
        linear: The same, for linear layers of vectors (paconv.quantization.linear_layers).
        most_error: A layer that adds more than that to the relative error stays real.
        worst: So many layers, those that add most to the error, stay real or have `worst_levels`; all is done twice
            then.
        worst_levels: (M, N) or (M, N, digits) of these layers in place of real weights.
        progress: Called as progress(layer, done, total).

    Returns:
        The quantized network.

    Raises:
        UsageError: There is no convolution to quantize, or an option is invalid.
    """
    if linear not in ("real", "pa"):
        raise UsageError(f"linear must be 'real' or 'pa'; found {linear!r}")
    float_bytes = source.model.ByteSize()
    policies: dict[str, Any] = {"first": first, "last": last, "depthwise": depthwise}
    planned = plan(source.model, keep=keep, **policies, shapes=source.shapes)
    if linear == "pa":
        policies["was_linear"] = _linear_layers(source, planned, keep)
        source = with_linear_as_convolutions(source, policies["was_linear"])
        planned = plan(source.model, keep=keep, **policies, shapes=source.shapes)
    if not planned.pa:
        found = "; ".join(f"{layer.name}: {layer.reason}" for layer in planned.real[:6]) or "it has no convolution"
        raise UsageError(f"the model has no convolution to quantize ({found})")
    if most_error is not None and not most_error >= 0:
        raise UsageError(f"most_error (--most-error): expected a number of at least 0; found {most_error!r}")
    if not 0 <= worst < len(planned.pa):
        raise UsageError(
            f"worst (--keep-worst): expected fewer layers than the {len(planned.pa)} that are quantized; found {worst}"
        )
    of_worst = settings
    if worst_levels is not None:
        M, N, digits = (*worst_levels, False)[:3]
        of_worst = replace(settings, M=M, N=N, digits=digits)
    passes = 2 if worst else 1
    total = passes * len(planned.pa)
    marched, model = _marched(source, samples, planned, settings, {}, most_error, lambda n, k: progress(n, k, total))
    if worst:
        ranked = sorted(marched.layers, key=lambda layer: layer.weights.error.added, reverse=True)
        names = [layer.target.name for layer in ranked[:worst]]
        others: dict[str, Settings] = {}
        if worst_levels is None:
            planned = plan(source.model, keep=(*keep, *map(escape, names)), **policies, shapes=source.shapes)
        else:
            others = dict.fromkeys(names, of_worst)
        before = total // 2
        marched, model = _marched(
            source, samples, planned, settings, others, most_error, lambda n, k: progress(n, before + k, total)
        )
    if most_error is not None and all(layer.real for layer in marched.layers):
        least = min(marched.layers, key=lambda layer: layer.weights.error.added)
        raise UsageError(
            f"no layer adds as little as {most_error:g} to the error, so that none is quantized; {least.target.name} "
            f"adds least, {least.weights.error.added:.2g}: allow more (most_error, --most-error)"
        )
    made = written(model, marched.layers)
    by_name = {layer.target.name: layer for layer in marched.layers}
    outcomes = tuple(_outcome(layer, by_name.get(layer.name)) for layer in planned.layers)
    return Quantized(
        made,
        outcomes,
        agreements(*marched.outputs),
        len(next(iter(samples.values()))),
        float_bytes,
        float_bytes - sum(_saved(outcome) for outcome in outcomes) + _endpoint_bytes(model, marched.layers),
        tuple(layer for layer in marched.layers if not layer.real),
    )


def _linear_layers(source: PlainModel, planned: Plan, keep: Sequence[str]) -> set[str]:
    """Names of the linear layers that can be quantized, heads and those in `keep` left out."""
    nodes = {node.name: node for node in source.model.graph.node}
    return {
        layer.name
        for layer in planned.layers
        if layer.code == "linear"
        and not any(fnmatchcase(layer.name, pattern) for pattern in keep)
        and convertible(source, nodes[layer.name])
    }


def _marched(
    source: PlainModel,
    samples: Mapping[str, np.ndarray],
    planned: Plan,
    settings: Settings,
    others: Mapping[str, Settings],
    most_error: float | None,
    progress: Callable[[str, int], None],
) -> tuple[Marched, onnx.ModelProto]:
    model = with_pads_absorbed(source.model, planned)
    targets = targets_of(model, planned, settings, others)
    count = source.batch or BATCH
    n = len(next(iter(samples.values())))
    batches = [{name: values[i : i + count] for name, values in samples.items()} for i in range(0, n, count)]
    if source.batch is not None and len(batches[-1][next(iter(samples))]) < count:
        batches.pop()
    if not batches:
        raise UsageError(f"the model takes {count} samples at once, whatever is asked; found {n}")
    finished: list[Layer] = []

    def done(layer: Layer) -> None:
        finished.append(layer)
        progress(layer.target.name, len(finished))

    pieces = cut(model, [target.node.output[0] for target in targets])
    return march(pieces, targets, batches, done, most_error), model


def _outcome(planned: PlannedLayer, layer: Layer | None) -> LayerOutcome:
    real = layer is None or layer.real
    code = planned.code if layer is None else _TOO_FAR if layer.real else ""
    return LayerOutcome(
        planned.name,
        planned.op,
        planned.weight_shape,
        "real" if real else "pa",
        code,
        "" if layer is None or layer.real else "signed" if layer.target.signed else "rectified",
        None if layer is None or layer.real else layer.target.settings.M,
        None if layer is None or layer.real else layer.target.settings.N,
        layer is not None and not layer.real and layer.target.settings.digits,
        None if layer is None else layer.weights.error.real if layer.real else layer.weights.error.quantized,
        None if layer is None else layer.weights.error.real,
        planned.macs,
        planned.parameters,
    )


def _saved(outcome: LayerOutcome) -> int:
    """Bytes of float32 weights that packed codes save, in about."""
    if outcome.form != "pa" or outcome.M is None:
        return 0
    levels = 2**outcome.M if outcome.digits else outcome.M + 1
    return prod(outcome.shape) * 4 - ceil(prod(outcome.shape) / 8) * code_bits(levels)


def _endpoint_bytes(model: onnx.ModelProto, layers: Sequence[Layer]) -> int:
    """Of float32 endpoints, in about: those of each channel where channels differ or a batch norm is before."""
    view, total = GraphView(model.graph), 0
    for layer in layers:
        if layer.real or layer.activation is None:
            continue
        weight, group = layer.target.weight, attribute(layer.target.node, "group", 1)
        differ = layer.activation.channels.changed or _behind_batch_norm(view, layer.target.node.input[0])
        total += 4 * len(layer.activation.v) * (weight.shape[1] * group if differ else 1)
    return total


def _behind_batch_norm(view: GraphView, tensor: str) -> bool:
    """Whether a batch norm makes `tensor`, or what it is the activation or the pooling of."""
    node = view.producer.get(tensor)
    while node is not None and op_name(node) in ("Relu", "Clip", "MaxPool", "Identity"):
        node = view.producer.get(node.input[0])
    return node is not None and op_name(node) == "BatchNormalization"


def _share(part: list[int], whole: list[int]) -> float | None:
    return sum(part) / sum(whole) if sum(whole) else None


def _finite(data: dict) -> dict:
    """JSON has no infinity: None in its place."""
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in data.items()}
