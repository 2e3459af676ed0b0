"""The weights of a PABitConv, and what they use of their levels.

    code[o,k]   index of a weight's level          table[o,c]   value of level c in output channel o, 1 row for all

Levels are put in ascending order by their values in the first row; a table has the same order in all of its rows.
In an optimized file batch norms and units are in the output's scale, so values are those before that scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from paconv.bits import level_table, unpack_codes
from paconv.errors import ModelError
from paconv.onnx_file.bit_conv_parameters import bit_conv_parameters
from paconv.onnx_file.graph_view import GraphView
from paconv.ops import DOMAIN

__all__ = ["PackedConv", "packed_convs"]


@dataclass(frozen=True)
class PackedConv:
    """A PABitConv, read."""

    node: onnx.NodeProto
    attributes: dict
    parameters: dict[str, np.ndarray]
    """Its constant inputs by name."""

    @property
    def X(self) -> str:
        return self.node.input[0]

    @property
    def Y(self) -> str:
        return self.node.output[0]

    @property
    def v(self) -> np.ndarray:
        """(1 or C, E) float32."""
        return self.parameters["v"]

    @property
    def sign(self) -> np.ndarray:
        """(1 or C,) int8."""
        return self.parameters["sign"]

    @cached_property
    def activation_values(self) -> np.ndarray:
        """(E+1,) float32, of each level."""
        return level_table(self.parameters["beta"], self.attributes["level_masks"])

    @cached_property
    def table(self) -> np.ndarray:
        """(1 or O, L) float32, ascending in its first row."""
        return self._tables[:, self._order]

    @cached_property
    def codes(self) -> np.ndarray:
        """(O, C/g, KH, KW) uint8: columns of `table`."""
        shape = self.attributes["weight_shape"]
        codes = unpack_codes(self.parameters["W"], prod(shape)).reshape(shape)
        return np.argsort(self._order).astype(np.uint8)[codes]

    @cached_property
    def weights(self) -> np.ndarray:
        """(O, C/g, KH, KW) float32, before the output's scale."""
        rows = np.broadcast_to(self.table, (self.codes.shape[0], self.table.shape[1]))
        flat = self.codes.reshape(self.codes.shape[0], -1).astype(np.intp)
        return np.take_along_axis(rows, flat, 1).reshape(self.codes.shape)

    @property
    def shares(self) -> np.ndarray:
        """(L,) float64: of the weights that have each level."""
        return np.bincount(self.codes.ravel(), minlength=self.table.shape[1]) / self.codes.size

    @property
    def dead_channels(self) -> int:
        """Output channels whose weights are all 0."""
        return int((self.weights.reshape(self.codes.shape[0], -1) == 0).all(1).sum())

    @cached_property
    def _tables(self) -> np.ndarray:
        return level_table(self.parameters["alpha"], self.attributes["weight_masks"])

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self._tables[0], kind="stable")


def packed_convs(model: onnx.ModelProto, where: str) -> dict[str, PackedConv]:
    """Label -> PABitConv of a model in canonical form.

    where: what messages call it. Raises ModelError for a node whose parameters are computed or wrong.
    """
    view = GraphView(model.graph)
    found = {}
    for node in view.nodes:
        if (node.domain, node.op_type) != (DOMAIN, "PABitConv"):
            continue
        label = view.label(node)
        constants = {name: numpy_helper.to_array(view.stored[name]) for name in node.input if name in view.stored}
        attributes, parameters = bit_conv_parameters(node, constants, f"{where}: PABitConv '{label}'", ModelError)
        found[label] = PackedConv(node, attributes, parameters)
    return found
