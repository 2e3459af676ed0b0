"""The constants of a PABitConv node, checked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from paconv.errors import PaconvError
from paconv.ops.pa_bit_conv import PA_BIT_CONV, check_parameters

__all__ = ["bit_conv_parameters"]


def bit_conv_parameters(
    node: onnx.NodeProto, constants: Mapping[str, np.ndarray], where: str, error: type[PaconvError]
) -> tuple[dict, dict[str, np.ndarray]]:
    """(attributes by name, constant inputs by name) of a PABitConv, as check_parameters takes them.

    constants: the graph's, by tensor; where: what messages call the node. Raises `error` where inputs are missing or
    computed, OpError where their values are wrong.
    """
    names = [tensor.name for tensor in PA_BIT_CONV.inputs[1:]]
    if len(node.input) != len(names) + 1:
        raise error(f"{where}: expected {len(names) + 1} inputs; found {len(node.input)}")
    tensors = dict(zip(names, node.input[1:], strict=True))
    if computed := [name for name, tensor in tensors.items() if tensor not in constants]:
        raise error(f"{where}: expected {', '.join(computed)} as initializers")
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    parameters = {name: constants[tensor] for name, tensor in tensors.items()}
    check_parameters(attributes, parameters, where)
    return attributes, parameters
