"""What a report says, as plain data: no ONNX and no HTML. Times in seconds, sizes in bytes, shares from 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass

from paconv.reporting.notebook import as_html
from paconv.reporting.tables import Column, Table

__all__ = ["Advice", "Distribution", "LayerPart", "LevelShare", "Measurement", "Report", "Side", "Totals"]


@dataclass(frozen=True)
class Distribution:
    """A histogram, with the endpoints and levels of a quantizer over it."""

    counts: tuple[int, ...]
    """Of bins of equal width from `low` to `high`; the outer ones hold what lies beyond too. Empty for no histogram."""
    low: float
    high: float
    endpoints: tuple[float, ...]
    """Where one level ends and the next begins; empty where they aren't known."""
    levels: tuple[float, ...]
    """Values of the levels; empty where they aren't known on this axis."""
    axis: str
    """What the axis has, in words."""
    symbol: str
    """Of the endpoints: u of weights, v of activations."""


@dataclass(frozen=True)
class LevelShare:
    """A level of a quantizer."""

    value: str
    """As it is printed."""
    share: float | None
    """Of the weights or activations that have it; None where that isn't known."""

    @property
    def dead(self) -> bool:
        return self.share == 0


@dataclass(frozen=True)
class Side:
    """A layer's weights, or the activations that it reads."""

    levels: tuple[LevelShare, ...]
    """Ascending."""
    unit: str
    """Of the levels' values, in words."""
    distribution: Distribution | None
    """None where there is nothing to draw."""
    missing: str
    """What to give for more, in words; "" for nothing."""
    error: float | None = None
    """Squared error of the levels relative to the real values; None where these aren't known."""
    dead_channels: int = 0
    """Weights: output channels whose weights are all 0. Activations: channels with one level on all samples."""
    channels: int = 0
    """How many there are."""

    @property
    def dead_levels(self) -> tuple[str, ...]:
        return tuple(level.value for level in self.levels if level.dead)


@dataclass(frozen=True)
class LayerPart:
    """A layer."""

    id: str
    """Of its place on the page."""
    name: str
    """Of its node."""
    label: str
    """The name without what can be left out."""
    kind: str
    """A key of KINDS in render.py."""
    shape: str
    """Channels, kernel, strides and groups, in words."""
    makes: str
    """Sizes of its output, in words; "" of a linear layer."""
    planes: tuple[int, int | None] | None
    """(M, N) of a quantized layer; N is None for real activations."""
    macs: int
    """Multiply-accumulates."""
    flops: float
    """By the rule of the paper's text."""
    bytes: float
    """Stored, weights as level indexes."""
    float_bytes: float
    """In float32."""
    predicted: float | None
    """Seconds; None where the host model knows none."""
    float_predicted: float | None
    measured: float | None
    """Seconds within the network; None if it wasn't, or the profile doesn't name it."""
    float_measured: float | None
    by_measured: bool
    """Whether `seconds` of the report's layers are measured ones: those of all layers, or of none."""
    kernel: str
    """What runs it, in words."""
    kernel_reason: str
    """Why that kernel; "" for onnxruntime's own."""
    folded: tuple[str, ...]
    """What went into it, in words."""
    real_reason: str
    """Why it stayed real, as a sentence; "" for a quantized one."""
    filling: float | None
    """Part of the kernel's lanes and words that its channels fill; None for real layers."""
    filling_text: str
    """Where that comes from."""
    weights: Side | None
    activations: Side | None
    output_error: float | None
    """Squared error of its output against the float parent, relative to the variance; None if not known."""

    ours: bool
    """Whether a kernel of paconv's runs it: a quantized layer, or a real depthwise convolution of a chain."""

    @property
    def real(self) -> bool:
        return self.planes is None

    @property
    def digits(self) -> bool:
        """Whether its planes are the binary digits of more levels than there are planes and 0."""
        sides = zip((self.weights, self.activations), self.planes or (None, None), strict=True)
        return any(side is not None and planes is not None and len(side.levels) > planes + 1 for side, planes in sides)

    @property
    def seconds(self) -> float | None:
        """Measured or predicted; None where that isn't known."""
        return self.measured if self.by_measured else self.predicted

    @property
    def float_seconds(self) -> float | None:
        """Of the same origin as `seconds`."""
        return self.float_measured if self.by_measured else self.float_predicted

    @property
    def gain(self) -> float | None:
        """The float layer's time over this one's; None where one of them isn't known, or onnxruntime runs both."""
        own, real = self.seconds, self.float_seconds
        return None if not self.ours or not own or real is None else real / own


@dataclass(frozen=True)
class Measurement:
    """Whole networks, timed in turns on one thread."""

    seconds: float
    """Of the packed network, best of many calls."""
    float_seconds: float
    """Of the float one."""
    int8_seconds: float | None
    """Of the 8-bit one; None if it wasn't measured."""
    int8_bytes: int | None
    """Of its file."""
    float_what: str
    """What was timed as the float network, in words."""
    machine: str
    """CPU, kernels and versions."""
    noise: str
    """How busy the machine was, in words."""
    busy: bool
    """Whether it was too busy to trust the times."""


@dataclass(frozen=True)
class Totals:
    """The network."""

    file_bytes: int
    """Of the packed file."""
    packed_bytes: float
    """All parameters, weights as level indexes and the others in float32: what `paconv summary` calls packed."""
    float_bytes: float
    """All parameters in float32."""
    int8_bytes: float
    """Weights in a byte each, other parameters in float32."""
    macs: int
    binary_macs: int
    flops: float
    parameters: int
    binary_parameters: int
    predicted: float | None
    float_predicted: float | None
    rest_predicted: float | None
    """Between layers."""
    rest_float_predicted: float | None
    rates: str
    """Whose rates the predictions are from; why there are none where there are none."""
    nodes_measured: float | None
    """Sum of the fastest calls of all nodes, of which those of layers are a part; None where they weren't measured."""
    rest_measured: float | None
    float_nodes_measured: float | None
    rest_float_measured: float | None
    same_choice: float | None
    """Part of the samples with the float parent's class."""
    output_error: float | None
    """Of the network's output against the float parent's, the largest of several."""


@dataclass(frozen=True)
class Advice:
    """Something that would help."""

    title: str
    """An imperative."""
    text: str
    """Why, by numbers of the report."""
    layers: tuple[tuple[str, str], ...]
    """(id, name) of those it is about."""
    saves: float
    """Seconds of a call; 0 where it saves none."""


@dataclass(frozen=True)
class Report:
    """A page."""

    source: str
    """Name of the packed file."""
    reference: str
    """Name of the reference; "" for none."""
    reference_kind: str
    """float, exported, or "" for none."""
    samples: int
    """Given; 0 for none."""
    batch: int
    """Samples per call of the times."""
    version: str
    """Of paconv."""
    layers: tuple[LayerPart, ...]
    """In the order they run."""
    totals: Totals
    measurement: Measurement | None
    advice: tuple[Advice, ...]
    """What helps most first."""
    unmatched: tuple[str, ...]
    """Layers that the reference doesn't have."""

    def __repr__(self) -> str:
        calls, total = self.measurement, self.totals
        if calls is not None:
            speed = f", {calls.float_seconds / calls.seconds:.2f}x as fast as float, measured"
        elif total.predicted and total.float_predicted:
            speed = f", {total.float_predicted / total.predicted:.2f}x as fast as float, predicted"
        else:
            speed = ""
        return f"Report({self.source}: {len(self.layers)} layers{speed})"

    def _repr_html_(self) -> str:
        columns = [Column(name, name, left=True) for name in ("name", "kind")] + [Column("bytes", "bytes")]
        return as_html(Table(repr(self), columns, [vars(layer) for layer in self.layers]))

    @property
    def measured(self) -> bool:
        """Whether `seconds` of layers are measured."""
        return any(layer.by_measured for layer in self.layers)

    @property
    def seconds(self) -> float | None:
        """Of all nodes, of the same origin as those of layers."""
        return self.totals.nodes_measured if self.measured else self.totals.predicted

    @property
    def float_seconds(self) -> float | None:
        """The same of the float network."""
        return self.totals.float_nodes_measured if self.measured else self.totals.float_predicted
