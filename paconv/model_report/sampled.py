"""What samples show: which activation levels occur, how activations lie about the endpoints, and errors on the way.

A packed network compares what comes before its batch norms, so its endpoints v[c,e] may differ by channel. They are
the same endpoints seen through x -> s_c x + b_c; the histogram undoes that up to one scale for all:

    x' = (sign_c x - v[c,1]) / (v[c,E] - v[c,1])       the first endpoint is 0, the last one 1
    x' = sign_c x - v[c,1]                             with one endpoint

With an exported reference the histogram is of its own activations, in its own units, and

    error = sum (x - level(x))^2 / sum x^2.

A layer's output error against a float network is what no scale and shift of a channel can undo, as batch norms may be
folded in one and not in the other: with outputs p (packed) and f (float), by channel

    error = sum_c var(f) (1 - corr(p, f)^2) / sum_c var(f).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime as ort

from paconv.errors import ModelError, UsageError
from paconv.model_report.contents import Distribution
from paconv.model_report.packed import PackedConv
from paconv.model_report.parent import FLOAT, ActivationStep, Parent
from paconv.model_report.real_weights import BINS
from paconv.quantization.agreement import OutputAgreement, agreements
from paconv.reference import activation_levels
from paconv.runtime.session import ORT_ERRORS, register
from paconv.verification.inputs import make_inputs
from paconv.verification.model import OpenModel

__all__ = ["MOST_SAMPLES", "Sampled", "Samples", "sampled"]

MOST_SAMPLES = 16
"""That are run: more would change the shares little."""

_PIXELS = 40_000
"""Of a layer and a sample that go into its histogram, about."""


@dataclass(frozen=True)
class Sampled:
    """What samples show of one layer."""

    shares: tuple[float, ...]
    """Of the activations that have each level, by index."""
    dead_channels: int
    """Channels with the same level everywhere."""
    channels: int
    distribution: Distribution
    activation_error: float | None
    """Of an exported reference's activations; None without one."""
    output_error: float | None
    """Against a float reference; None without one."""


@dataclass(frozen=True)
class Samples:
    """What samples show."""

    count: int
    """That were run."""
    layers: Mapping[str, Sampled]
    """By name."""
    agreement: tuple[OutputAgreement, ...]
    """Of the outputs with a float reference's; empty without one."""


def sampled(
    model: onnx.ModelProto, packed: Mapping[str, PackedConv], inputs: Mapping[str, np.ndarray], parent: Parent | None
) -> Samples:
    """Run samples through `model`, in canonical form, and the reference.

    inputs: an array per input, samples first. Raises UsageError where they don't fit, ModelError where a model doesn't
    run on them.
    """
    own = OpenModel(model, "the packed network")
    batches = _batches(inputs, _batch(own), parent)
    names = [value.name for value in model.graph.output]
    probe = _Probe(own, [*names, *(t for conv in packed.values() for t in (conv.X, conv.Y))])
    other = None
    if parent is not None:
        wanted = [step.x for step in parent.activations.values()] + list(parent.results.values())
        other = _Probe(
            OpenModel(parent.model, "the reference"), [*(v.name for v in parent.model.graph.output), *wanted]
        )
    layers = {name: _Layer(conv, parent, name) for name, conv in packed.items()}
    mine: dict[str, list[np.ndarray]] = {name: [] for name in names}
    theirs: list[list[np.ndarray]] = [[] for _ in names]
    for batch in batches:
        values = probe.run(batch)
        reference = {} if other is None else other.run(batch)
        for layer in layers.values():
            layer.add(values, reference)
        for name in names:
            mine[name].append(values[name])
        if parent is not None and parent.kind == FLOAT:
            for kept, value in zip(theirs, parent.model.graph.output, strict=False):
                kept.append(reference[value.name])
    compared = bool(theirs and theirs[0]) and len(names) == len(parent.model.graph.output) if parent else False
    agreement = agreements(dict(zip(names, theirs, strict=True)), mine) if compared else ()
    count = sum(len(next(iter(batch.values()))) for batch in batches)
    return Samples(count, {name: layer.result() for name, layer in layers.items()}, agreement)


def _batch(model: OpenModel) -> int | None:
    sizes = {value.type.tensor_type.shape.dim[0].dim_value for value in model.inputs} - {0}
    return max(sizes, default=None)


def _batches(inputs: Mapping[str, np.ndarray], batch: int | None, parent: Parent | None) -> list[dict[str, np.ndarray]]:
    """The samples as both models take them, one at once where they may."""
    empty = [name for name, array in inputs.items() if array.ndim == 0 or not len(array)]
    if not inputs or empty:
        raise UsageError(f"inputs: expected at least one sample of each input; found none of {empty or 'any'}")
    sizes = {size for size in (batch, None if parent is None else parent.batch) if size is not None}
    if len(sizes) > 1:
        raise UsageError(f"the packed network takes {batch} samples at once, the reference {parent and parent.batch}")
    step = next(iter(sizes), 1)
    count = min(len(array) for array in inputs.values())
    if count < step:
        raise UsageError(f"inputs: the network takes {step} samples at once; found {count}")
    starts = range(0, min(count, max(MOST_SAMPLES, step)) - step + 1, step)
    return [{name: array[k : k + step] for name, array in inputs.items()} for k in starts]


class _Probe:
    """A session that hands out tensors on the way."""

    def __init__(self, model: OpenModel, tensors: Sequence[str]):
        self._model = model
        computed = {name for node in model.model.graph.node for name in node.output}
        self._names = [name for name in dict.fromkeys(tensors) if name in computed]
        open_model = onnx.ModelProto()
        open_model.CopyFrom(model.model)
        existing = {value.name for value in open_model.graph.output}
        open_model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in self._names if n not in existing)
        options = register(ort.SessionOptions())
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = ort.InferenceSession(
                open_model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except ORT_ERRORS as error:
            raise ModelError(f"{model.label} does not run: {error}") from error

    def run(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        feeds = make_inputs(self._model, given, 1, 0)
        try:
            return {**feeds, **dict(zip(self._names, self._session.run(self._names, feeds), strict=True))}
        except ORT_ERRORS as error:
            raise ModelError(f"{self._model.label} does not run on the inputs: {error}") from error


@dataclass
class _Histogram:
    """Counts over samples; its range is set by the first."""

    endpoints: np.ndarray
    counts: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    bounds: tuple[float, float] | None = None

    def add(self, x: np.ndarray) -> None:
        if self.bounds is None:
            low, high = np.quantile(x, (0.001, 0.999)) if x.size else (0.0, 1.0)
            low, high = min(low, *self.endpoints), max(high, *self.endpoints)
            margin = 0.05 * (high - low) or 1.0
            self.bounds = (float(low - margin), float(high + margin))
        self.counts += np.histogram(np.clip(x, *self.bounds), BINS, self.bounds)[0]


class _Layer:
    """What is summed up of one layer."""

    def __init__(self, conv: PackedConv, parent: Parent | None, name: str):
        self.conv = conv
        self.step = None if parent is None else parent.activations.get(name)
        self.result_name = None if parent is None else parent.results.get(name)
        self.histogram = _Histogram(self.step.v if self.step else _endpoints(conv))
        self.counts = np.zeros(conv.v.shape[1] + 1, np.int64)
        self.lowest: np.ndarray | None = None
        self.highest: np.ndarray | None = None
        self.moments: np.ndarray | float = 0.0
        self.lost = self.power = 0.0

    def add(self, values: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> None:
        X = values[self.conv.X]
        levels = activation_levels(X, self.conv.v, self.conv.sign)
        self.counts += np.bincount(levels.ravel(), minlength=len(self.counts))
        lowest, highest = levels.min((0, 2, 3)), levels.max((0, 2, 3))
        self.lowest = lowest if self.lowest is None else np.minimum(self.lowest, lowest)
        self.highest = highest if self.highest is None else np.maximum(self.highest, highest)
        if self.step is None:
            self.histogram.add(_aligned(self.conv, _thinned(X)))
        else:
            self._add_step(self.step, reference[self.step.x].astype(np.float64))
        if self.result_name is not None:
            self._add_outputs(values[self.conv.Y], reference[self.result_name])

    def result(self) -> Sampled:
        assert self.lowest is not None and self.highest is not None
        step, conv = self.step, self.conv
        low, high = self.histogram.bounds or (0.0, 1.0)
        counts, ends = tuple(map(int, self.histogram.counts)), tuple(map(float, self.histogram.endpoints))
        levels = () if step is None else tuple(map(float, step.levels))
        distribution = Distribution(counts, low, high, ends, levels, "activation" if step else _axis(conv), "v")
        return Sampled(
            tuple(map(float, self.counts / max(1, self.counts.sum()))),
            int((self.lowest == self.highest).sum()),
            len(self.lowest),
            distribution,
            None if step is None or not self.power else self.lost / self.power,
            self._output_error(),
        )

    def _add_step(self, step: ActivationStep, x: np.ndarray) -> None:
        thin = _thinned(x)
        self.histogram.add(thin.ravel())
        self.lost += float(((thin - step.levels[np.searchsorted(step.v, thin, side="right")]) ** 2).sum())
        self.power += float((thin * thin).sum())

    def _add_outputs(self, own: np.ndarray, real: np.ndarray) -> None:
        if own.shape != real.shape:
            self.result_name = None
            return
        p, f = (_thinned(a).astype(np.float64).swapaxes(0, 1).reshape(a.shape[1], -1) for a in (own, real))
        ones = np.full(len(p), p.shape[1], np.float64)
        self.moments = self.moments + np.stack([ones, *(a.sum(1) for a in (p, f, p * p, f * f, p * f))])

    def _output_error(self) -> float | None:
        if self.result_name is None or not isinstance(self.moments, np.ndarray):
            return None
        n, p, f, pp, ff, pf = self.moments
        variance, own, both = ff / n - (f / n) ** 2, pp / n - (p / n) ** 2, pf / n - p * f / n**2
        explained = np.divide(both**2, own, out=np.zeros_like(own), where=own > 0)
        total = variance.sum()
        return float(np.clip((variance - explained).sum() / total, 0, 1)) if total > 0 else None


def _thinned(x: np.ndarray) -> np.ndarray:
    """Every k-th row and column of (B, C, H, W), about _PIXELS values of a sample."""
    every = max(1, round((x[0].size / _PIXELS) ** 0.5))
    return x[:, :, ::every, ::every]


def _span(conv: PackedConv) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first endpoint (R,), its distance to the last one (R,), which channels can be drawn (R,)) of every row."""
    v = conv.v.astype(np.float64)
    first, last = v[:, 0], np.nanmax(np.where(np.isfinite(v), v, np.nan), 1, initial=-np.inf)
    width = np.ones_like(first) if v.shape[1] == 1 else last - first
    return first, width, np.isfinite(first) & np.isfinite(width) & (width > 0)


def _in_own_units(conv: PackedConv) -> bool:
    return len(conv.v) == 1 and bool((conv.sign == 1).all())


def _axis(conv: PackedConv) -> str:
    if _in_own_units(conv):
        return "activation"
    if conv.v.shape[1] == 1:
        return "activation, from its channel's endpoint"
    return "activation, scaled so that its channel's endpoints run from 0 to 1"


def _endpoints(conv: PackedConv) -> np.ndarray:
    """(E,) where the endpoints lie on the axis."""
    v = conv.v.astype(np.float64)
    if _in_own_units(conv):
        return v[0][np.isfinite(v[0])]
    first, width, fit = _span(conv)
    scaled = (v[fit] - first[fit, None]) / width[fit, None]
    if not len(scaled):
        return np.zeros(1)
    ends = np.median(np.where(np.isfinite(scaled), scaled, np.nan), 0)
    return ends[np.isfinite(ends)]


def _aligned(conv: PackedConv, X: np.ndarray) -> np.ndarray:
    if _in_own_units(conv):
        return X.ravel()
    first, width, fit = _span(conv)
    shape = (1, -1, 1, 1)
    scaled = X * conv.sign.astype(np.float64).reshape(shape) - first.reshape(shape)
    return (scaled / width.reshape(shape))[:, np.broadcast_to(fit, X.shape[1])].ravel()
