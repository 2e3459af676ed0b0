"""`paconv.summary`: what a network is, in a table that fits 80 columns."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from paconv.cost.count import NetworkCost, count
from paconv.cost.reading import readings
from paconv.cost.source import CHECKPOINT_SUFFIXES, exported_model, model_of_file
from paconv.cost.units import with_unit
from paconv.errors import UsageError
from paconv.network.extract import network
from paconv.network.layers import BATCH_NORM, Layer
from paconv.onnx_file.shapes import fixed_input_shapes
from paconv.ops import DOMAIN
from paconv.reporting.notebook import as_html
from paconv.reporting.tables import Column, Table, plain

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LayerSummary", "Summary", "summary"]

_FULL_BITS = 32
"""Bits of a real weight or activation."""

_WIDTH = 80
"""Columns of the printed table."""

DEFINITIONS = (
    "weights: the shape, (O, C/groups, KH, KW) of a convolution. reads: rectified, nothing below 0; signed, levels or "
    "values on both sides of 0; input, what the network is given",
    "bits: of a stored weight and of an activation, each the index of its level; 32: real",
    "params, MACs: shares of all parameters (a batch norm has 2 a channel) and of all multiply-accumulates",
    "converted: layers with approximated weights. The packed size is that of level indexes and real parameters, the "
    "one in float that of 32 bits a parameter",
)


@dataclass(frozen=True)
class LayerSummary:
    """One layer."""

    name: str
    """Its name; several batch norms are one row of the printed table."""
    kind: str
    """conv, depthwise conv, transposed conv, linear or batch norm."""
    scheme: str | None
    """Its scheme and planes, such as pa:4,5; None for a real layer."""
    weight_shape: tuple[int, ...]
    """Of its weight; the channels of a batch norm."""
    output_shape: tuple[int, ...]
    """With the batch; empty where it isn't known."""
    reads: str | None
    """input, rectified or signed; None for a batch norm."""
    weight_bits: int
    """Of a stored weight."""
    activation_bits: int | None
    """Of an activation that it reads; None for a batch norm."""
    parameters: int
    """Stored for it, bias included."""
    macs: int
    """Multiply-accumulates."""


@dataclass(frozen=True)
class Summary:
    """What a network is; `str` is the table."""

    source: str
    """What was summarized, such as the file's name."""
    form: str
    """torch, float, exported (model.onnx) or optimized (pa.onnx)."""
    inputs: Mapping[str, tuple[int, ...]]
    """Shapes with the batch, by name."""
    layers: tuple[LayerSummary, ...]
    """In the order of execution, batch norms last."""
    cost: NetworkCost
    """The count behind it."""

    @property
    def parameters(self) -> int:
        """Of all layers."""
        return self.cost.totals.parameters

    @property
    def macs(self) -> int:
        """Of all layers."""
        return self.cost.totals.macs

    def __str__(self) -> str:
        return plain(self.table(), _WIDTH, _WIDTH).rstrip("\n")

    def __repr__(self) -> str:
        return f"<Summary of {self.source}: {self.line()}>"

    def _repr_html_(self) -> str:
        return as_html(self.table())

    def line(self) -> str:
        """All of it in a line."""
        totals = self.cost.totals
        converted = sum(layer.scheme is not None for layer in self.layers)
        multiplying = sum(layer.kind != BATCH_NORM for layer in self.layers)
        share = ""
        if converted:
            macs = f"{_percent((totals.macs - totals.real_macs) / totals.macs)} of MACs, " if totals.macs else ""
            share = f" ({macs}{_percent(totals.binary_weights / totals.parameters)} of parameters)"
        packed = f"{with_unit(totals.level_index_bits / 8, 'B')} packed, " if converted else ""
        return (
            f"{totals.parameters:,} parameters, {totals.macs:,} MACs; {converted} of {multiplying} layers converted"
            f"{share}; {packed}{with_unit(totals.float_bits / 8, 'B')} in float"
        )

    def as_data(self) -> dict[str, Any]:
        """All of it as plain data."""
        totals = self.cost.totals
        return {
            "source": self.source,
            "form": self.form,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "layers": [vars(layer) for layer in self.layers],
            "totals": {
                "parameters": totals.parameters,
                "binary_weights": totals.binary_weights,
                "macs": totals.macs,
                "real_macs": totals.real_macs,
                "packed_bytes": totals.level_index_bits // 8,
                "float_bytes": totals.float_bits // 8,
            },
            "remarks": self._remarks(),
        }

    def table(self) -> Table:
        """A row per layer, all batch norms in one, and the total."""
        norms = [layer for layer in self.layers if layer.kind == BATCH_NORM]
        rows = [self._row(layer) for layer in self.layers if layer.kind != BATCH_NORM]
        if norms:
            together = replace(norms[0], name=f"{len(norms)} batch norms",
                               parameters=sum(norm.parameters for norm in norms))  # fmt: skip
            rows.append({**self._row(together), "weights": None})
        rows.append(
            {"name": "total", "parameters": 1.0 if self.parameters else None, "macs": 1.0 if self.macs else None}
        )
        shapes = ", ".join(f"{name} {_shape(shape)}" for name, shape in self.inputs.items())
        title = f"{self.source}: {self.form}, input {shapes or 'none'}"
        line = self.line()
        notes = (line, *self._remarks())
        return Table(title, _COLUMNS, rows, totals=1, notes=notes, definitions=DEFINITIONS, narrow=True, line=line)

    def csv_table(self) -> Table:
        """A row per layer, batch norms too, with every figure whole."""
        names = LayerSummary.__dataclass_fields__
        rows = [
            {k: "x".join(map(str, v)) if isinstance(v, tuple) else v for k, v in vars(layer).items()}
            for layer in self.layers
        ]
        return Table(self.source, [Column(name, name) for name in names], rows)

    def _row(self, layer: LayerSummary) -> dict[str, Any]:
        return {
            "name": layer.name,
            "kind": f"{layer.kind} {layer.scheme}" if layer.scheme else layer.kind,
            "weights": _shape(layer.weight_shape),
            "reads": layer.reads,
            "bits": "/".join(str(bits) for bits in (layer.weight_bits, layer.activation_bits) if bits is not None),
            "parameters": layer.parameters / self.parameters if self.parameters else None,
            "macs": layer.macs / self.macs if layer.macs else None,
        }

    def _remarks(self) -> list[str]:
        found = self.cost.network
        lines = [f"not counted, though it multiplies: {product}" for product in found.uncounted_products]
        return [*lines, *found.remarks, *([found.inferred] if found.inferred else [])]


def summary(
    source: str | os.PathLike | onnx.ModelProto | nn.Module,
    input_shape: Any = None,
    *,
    model: str | None = None,
    trust_pickle: bool = False,
) -> Summary:
    """What the network in `source` is, layer by layer; `print` shows it.

    Args:
        source: A float .onnx, model.onnx, pa.onnx or checkpoint, a ModelProto, or a torch module.
        input_shape: (C, H, W) where the network leaves it free or, from torch, doesn't carry it; of an ONNX model also
            {input or dimension: sizes}. A free batch is 1.
        model: For a checkpoint: "package.module:function" that returns the float model, as `paconv export` takes it.
        trust_pickle: Read a whole pickled module; this runs code stored in the file.

    Returns:
        The summary. Nothing is run or measured.

    Raises:
        ModelError: The ONNX model can't be used.
        CheckpointError: The checkpoint can't be used.
        ExportError: torch can't export the model.
        UsageError: A dimension stays free, or the model doesn't carry its input shape.
    """
    named = dict(input_shape) if isinstance(input_shape, Mapping) else {"": input_shape} if input_shape else {}
    if isinstance(source, (str, os.PathLike)):
        onnx_model, sizes = model_of_file(source, named, factory=model, trust_pickle=trust_pickle)
        label = Path(source).name
        form = "torch" if Path(source).suffix.lower() in CHECKPOINT_SUFFIXES else _form(onnx_model)
    elif model is not None or trust_pickle:
        raise UsageError("model and trust_pickle tell how to read a checkpoint; give its path")
    elif isinstance(source, onnx.ModelProto):
        onnx_model, sizes, label, form = source, named, source.graph.name or "model", _form(source)
    else:
        onnx_model, sizes, label, form = exported_model(source, input_shape), {}, type(source).__name__, "torch"
    return _summary(onnx_model, sizes, label, form)


def _summary(model: onnx.ModelProto, sizes: Mapping[str, Sequence[int]], label: str, form: str) -> Summary:
    counted = count(network(model, sizes))
    reads = readings(model)
    layers = tuple(
        _layer_summary(each.layer, each.cost.parameters, reads.get(each.layer.name)) for each in counted.layers
    )
    return Summary(label, form, fixed_input_shapes(model, sizes), layers, counted)


def _layer_summary(layer: Layer, parameters: int, reads: str | None) -> LayerSummary:
    planes, norm = layer.planes, layer.kind == BATCH_NORM
    binary_input = planes is not None and planes.N is not None
    return LayerSummary(
        name=layer.name,
        kind="depthwise conv" if layer.is_depthwise else layer.kind,
        scheme=None if planes is None else str(planes),
        weight_shape=layer.weight_shape,
        output_shape=layer.output_shape,
        reads=None if norm else reads,
        weight_bits=_FULL_BITS if planes is None else (planes.weight_levels - 1).bit_length(),
        activation_bits=None if norm else planes.endpoints.bit_length() if planes and binary_input else _FULL_BITS,
        parameters=parameters,
        macs=layer.macs,
    )


def _form(model: onnx.ModelProto) -> str:
    ops = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    if not ops:
        return "float"
    return "exported" if ops & {"PAWeight", "PAActivation"} else "optimized"


def _shape(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


def _hundredths(share: float) -> str:
    return f"{100 * share:.1f}"


def _percent(share: float) -> str:
    return f"{_hundredths(share)} %"


_COLUMNS = (
    Column("name", "layer", left=True, folds=True),
    Column("kind", "kind", left=True),
    Column("weights", "weights", left=True),
    Column("reads", "reads", left=True),
    Column("bits", "bits\nw/a"),
    Column("parameters", "params\n[%]", read=_hundredths),
    Column("macs", "MACs\n[%]", read=_hundredths),
)
