"""What a network is: a list of layers with shapes, free of any file format.

Symbols, per layer:

    weight_shape   (O, C/g, KH, KW) of a convolution (any number of spatial axes), (O, I) of a linear layer,
                   (C, O/g, KH, KW) of a transposed convolution, (C,) of a batch norm
    outputs        elements of the output tensor            inputs   elements of the input tensor
    window         products in one output element: C/g*KH*KW, or I        (Table 8's c_in h w)
    MACs           outputs * window     (a transposed convolution: inputs * O/g*KH*KW)

A *binary* layer has `planes`: M weight planes and N activation planes. N is None where activations are full
precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

from paconv.schemes import spelled

__all__ = ["BATCH_NORM", "CONV", "CONV_TRANSPOSE", "LINEAR", "DataOp", "HeldParameters", "KernelPart", "Layer",
           "Network", "Planes", "Uncounted"]  # fmt: skip

CONV = "conv"
CONV_TRANSPOSE = "transposed conv"
LINEAR = "linear"
BATCH_NORM = "batch norm"


@dataclass(frozen=True)
class Planes:
    """How a layer is binarized."""

    scheme: str
    """A key of paconv.schemes.SCHEMES."""
    M: int
    """Weight planes."""
    N: int | None
    """Activation planes; None for full precision."""
    endpoints: int
    """Comparisons that determine the level of an activation (N for PA)."""
    weight_levels: int
    """Distinct weight values, which a level index tells apart (M+1 for PA's disjoint planes)."""

    def __str__(self) -> str:
        digits = self.scheme == "pa" and (self.weight_levels > self.M + 1 or self.endpoints > (self.N or 0))
        return spelled(self.scheme, self.M, self.N, digits=digits)


@dataclass(frozen=True)
class KernelPart:
    """Of which sum of convolutions a convolution is a part, and where (paconv.network.parts)."""

    total: str
    """The tensor that is the sum."""
    source: str
    """The tensor that is read, before it is cropped."""
    begin: tuple[int, ...]
    """Padding minus crop before the first pixel of each axis, in nodes of their own."""
    end: tuple[int, ...]
    """The same behind the last one."""
    input_shape: tuple[int, ...] = ()
    """Of `source`; empty if unknown."""


@dataclass(frozen=True)
class Layer:
    """One layer with parameters."""

    name: str
    """The layer's name."""
    kind: str
    """CONV, CONV_TRANSPOSE, LINEAR or BATCH_NORM."""
    weight_shape: tuple[int, ...]
    """Its first axis is the channels of a batch norm."""
    input_shape: tuple[int, ...] = ()
    """Empty if unknown."""
    output_shape: tuple[int, ...] = ()
    """Empty if unknown."""
    group: int = 1
    """Groups of a convolution."""
    bias: int = 0
    """Number of real-valued bias parameters."""
    planes: Planes | None = None
    """None for a real layer."""
    input_id: str = ""
    """Equal for layers that read the same (binarized) input, which is compared only once."""
    compared_by: str = ""
    """Equal for layers that compare their inputs with the same endpoints."""
    shares_weights: bool = False
    """Whether an earlier layer already stores this layer's parameters."""
    computed_weights: bool = False
    """Whether its weight is computed from the network's input, so that nothing of it is stored."""
    shortcut: bool = False
    """Whether it is a 1x1 convolution on the shortcut of a residual block (a downsampling layer)."""
    strides: tuple[int, ...] = ()
    """One per spatial axis; empty for a layer that isn't a convolution."""
    pads: tuple[int, ...] = ()
    """All begins, then all ends, as in ONNX; empty for a layer that isn't a convolution."""
    dilations: tuple[int, ...] = ()
    """One per spatial axis; empty for a layer that isn't a convolution."""
    part: KernelPart | None = None
    """What it is a part of; None for a layer that stands for itself."""

    @property
    def weights(self) -> int:
        """Weights stored for this layer, bias apart. A batch norm has none: it has 2 parameters a channel."""
        stored = not (self.shares_weights or self.computed_weights or self.kind == BATCH_NORM)
        return prod(self.weight_shape) if stored else 0

    @property
    def other_parameters(self) -> int:
        """Bias parameters, or the 2 parameters a channel (scale and shift) of a batch norm."""
        if self.kind == BATCH_NORM:
            return 0 if self.shares_weights else 2 * self.weight_shape[0]
        return self.bias

    @property
    def inputs(self) -> int:
        return prod(self.input_shape)

    @property
    def outputs(self) -> int:
        return prod(self.output_shape)

    @property
    def window(self) -> int:
        return prod(self.weight_shape[1:])

    @property
    def macs(self) -> int:
        """Multiply-accumulates, bias left out. A batch norm counts none, as in the paper."""
        if self.kind == BATCH_NORM:
            return 0
        return (self.inputs if self.kind == CONV_TRANSPOSE else self.outputs) * self.window

    @property
    def is_convolution(self) -> bool:
        return self.kind in (CONV, CONV_TRANSPOSE)

    @property
    def is_depthwise(self) -> bool:
        """Each group reads a single channel."""
        return self.kind == CONV and self.group > 1 and self.weight_shape[1] == 1


@dataclass(frozen=True)
class HeldParameters:
    """Parameters held by an op that isn't counted."""

    node: str
    """Name of the node."""
    op: str
    """Its op type."""
    tensor: str
    """Name of the tensor."""
    count: int
    """Number of parameters."""


@dataclass(frozen=True)
class Uncounted:
    """A node that multiplies, such as a convolution, and isn't counted."""

    node: str
    """Its name."""
    op: str
    """Its op type; that of the If, Loop or Scan around it before a slash."""
    why: str
    """What keeps it from being counted."""

    def __str__(self) -> str:
        return f"{self.op} {self.node} ({self.why})"


@dataclass(frozen=True)
class DataOp:
    """A node that isn't counted: its op type and the elements it reads and writes, None if a shape is unknown."""

    op: str
    elements: int | None


@dataclass(frozen=True)
class Network:
    """Layers, and what the count leaves out."""

    layers: tuple[Layer, ...]
    """In the order of execution."""
    batch: int = 1
    """Samples per call."""
    uncounted_ops: dict[str, int] = field(default_factory=dict)
    """Op type -> number of nodes."""
    data_ops: tuple[DataOp, ...] = ()
    """The same nodes with the data they move."""
    uncounted_parameters: tuple[HeldParameters, ...] = ()
    """Parameters held by these nodes."""
    uncounted_products: tuple[Uncounted, ...] = ()
    """Those of these nodes that multiply: with them the count would be larger."""
    remarks: tuple[str, ...] = ()
    """What else a reader of the figures has to know."""
    inferred: str = ""
    """Why figures about folded parameters are an inference; empty if everything is counted."""

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    @property
    def planes(self) -> tuple[Planes, ...]:
        """The different planes of the binary layers, in the order of execution."""
        return tuple(dict.fromkeys(layer.planes for layer in self.layers if layer.planes is not None))
