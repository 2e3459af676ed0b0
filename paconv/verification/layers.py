"""A PABitConv and its counterpart in the reference: which Conv it was made from, and what that reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from paconv import ops
from paconv.errors import VerifyError
from paconv.onnx_file.bit_conv_parameters import bit_conv_parameters
from paconv.verification.model import OpenModel

__all__ = ["Difference", "Layer", "LayerResult", "first", "layers_of"]


class Difference(Exception):
    """Raised by a check of a layer: what differs, in words."""


def first(differs: np.ndarray) -> tuple[int, ...]:
    """Index of the first element that is true."""
    return tuple(int(i) for i in np.argwhere(differs)[0])


@dataclass(frozen=True)
class Layer:
    """A PABitConv and where its parts lie in the reference."""

    node: onnx.NodeProto
    """The PABitConv."""
    conv: onnx.NodeProto
    """The reference's Conv."""
    activation: onnx.NodeProto
    """The PAActivation call that it reads."""
    weight: onnx.NodeProto
    """The PAWeight call that it reads."""
    attributes: dict
    """As for ops.pa_bit_conv.check_parameters."""
    parameters: dict[str, np.ndarray]
    """The PABitConv's constant inputs by name."""

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
    def A(self) -> str:
        """The reference's quantized activation (B, C, H, W)."""
        return self.activation.output[0]

    @property
    def W_bar(self) -> str:
        """The reference's quantized weight (O, C/g, KH, KW)."""
        return self.weight.output[0]

    @property
    def real_levels(self) -> str:
        """The reference's activation levels (E+1,)."""
        return self.activation.input[2]

    @property
    def weight_tables(self) -> list[str]:
        """The reference's weight levels, and the coefficients alpha that they are sums of if it names them."""
        return [name for name in self.weight.input[2:4] if name]

    def offset(self, reference: OpenModel) -> np.ndarray:
        """The bias of the reference's Conv as (1, O, 1, 1) float64, zeros if it has none."""
        if len(self.conv.input) < 3 or not self.conv.input[2]:
            return np.zeros((1, self.attributes["weight_shape"][0], 1, 1))
        return reference.constants[self.conv.input[2]].astype(np.float64)[None, :, None, None]

    @property
    def tensors(self) -> list[str]:
        """What has to be read from a run of the reference."""
        return [self.X, self.Y, self.A, self.W_bar, self.real_levels, *self.weight_tables]


@dataclass
class LayerResult:
    """What came of checking one layer."""

    name: str
    """Of the layer."""
    M: int
    """Weight planes."""
    N: int
    """Activation planes."""
    decisions: int = 0
    """Activations whose level was compared."""
    flips: int = 0
    """Activations whose level differs."""
    integers: int = 0
    """Sums of integer levels compared."""
    counts: int = 0
    """Counts compared, of other levels."""
    largest_error: float | None = None
    """max |Y - y| / its bound, of other levels."""
    difference: str | None = None
    """What is wrong; None if all is well."""

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
        while producer is not None and producer.op_type in ("Identity", "Pad"):  # paconv.passes.tidy.merge_pad
            producer = reference.producer.get(producer.input[0])
        if producer is None or (producer.domain, producer.op_type) != (ops.DOMAIN, op):
            raise VerifyError(
                f"{where}: in {reference.label} its Conv does not read a {op}; is it the right reference?"
            )
        quantizers.append(producer)
    attributes, parameters = bit_conv_parameters(node, optimized.constants, where, VerifyError)
    return Layer(node, convs[0], quantizers[0], quantizers[1], attributes, parameters)
