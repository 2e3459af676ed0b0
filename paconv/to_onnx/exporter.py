"""`paconv.export`: a torch model or checkpoint -> model.onnx.

copy on a grid, frozen --torch.onnx.export--> exporter's graph --canonicalize, rename--> graph
graph --add functions, check--> file
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from torch import nn

from paconv._version import __version__
from paconv.checkpoint import load
from paconv.errors import ExportError, ModelError, UsageError
from paconv.files import replacing
from paconv.grid import DEFAULT_GRID, GridChoice, checked_grid
from paconv.input_shape import Shape, checked_shapes
from paconv.nn.snapping import LevelReport, levels_table
from paconv.nn.wrapping import unwrapped
from paconv.onnx_file.loading import check_model
from paconv.onnx_file.metadata import file_sha256, grid_text, note
from paconv.onnx_file.names import name_nodes
from paconv.ops import DOMAIN, PA_WEIGHT, add_functions
from paconv.reporting.notebook import as_html
from paconv.reporting.tables import Table
from paconv.to_onnx.frozen_copy import frozen_copy
from paconv.to_onnx.naming import rename
from paconv.to_onnx.simplify import canonicalize
from paconv.to_onnx.trace import trace

__all__ = ["IR_VERSIONS", "Exported", "export", "exported"]

IR_VERSIONS = {18: 8, 19: 9, 20: 9}
"""Opset -> ONNX IR version. onnxruntime 1.17 reads IR up to 9 and opsets up to 20; functions need IR 8."""


@dataclass(frozen=True)
class Exported:
    """What `export` wrote."""

    path: Path
    """The ONNX file."""
    size: int
    """Its size in bytes."""
    quantized: int
    """Number of Conv nodes with a PAWeight."""
    real: int
    """Number of the other Conv nodes."""
    levels: LevelReport | None
    """How far the levels of each quantizer moved to an integer grid; None without quantizers."""

    def as_data(self) -> dict:
        """All of it as plain data."""
        return {**vars(self), "path": str(self.path), "levels": None if self.levels is None else self.levels.as_data()}

    def __repr__(self) -> str:
        convs = f"{self.quantized} quantized and {self.real} real convolutions"
        return f"Exported({self.path.name}: {self.size / 1e6:.2f} MB, {convs})"

    def _repr_html_(self) -> str:
        return as_html(Table(repr(self), (), ()) if self.levels is None else levels_table(self.levels, repr(self)))


def export(
    source: nn.Module | str | os.PathLike,
    path: str | os.PathLike,
    input_shape: Shape | Sequence[Shape] | Mapping[str, Shape] | None = None,
    *,
    opset: int = 18,
    dynamic_size: bool = False,
    model: nn.Module | Callable[[], nn.Module] | None = None,
    trust_pickle: bool = False,
    state_dict: str | None = None,
    grid: GridChoice = DEFAULT_GRID,
    read_from: str | os.PathLike | None = None,
) -> Exported:
    """Write `source` to the ONNX file `path`, with one call of paconv.PAWeight or PAActivation per quantizer.

    The model is exported as in eval mode, from a copy. The file has the nodes and parameters of each layer under their
    torch names and needs nothing of paconv to run. The batch is free.

    Args:
        source: A torch module, or the path of a checkpoint, read by `paconv.load(source, model, trust_pickle=...)`.
        path: The ONNX file to write. A failure leaves no file.
        input_shape: (C, H, W) without the batch, or one such shape per input of `forward`, in the order of its
            arguments (those of *args after the others) or by their names; None is the checkpoint's.
        opset: 18, 19 or 20.
        dynamic_size: Leave height and width free, too.
        model: The float model, or a function that returns it, for a checkpoint that needs one.
        trust_pickle: Read a whole pickled nn.Module; this runs code stored in the file.
        state_dict: Where the state dict of a training checkpoint lies (`paconv.load`).
        grid: The integers that levels become, times a unit; see `paconv.nn.snap_`. By default a model that is on a grid
            already, as after training, stays on it; None exports real levels.
        read_from: The checkpoint that a torch module was read from, for the file's provenance.

    Returns:
        What was written.

    Raises:
        UsageError: Options are invalid.
        CheckpointError: The checkpoint is bad.
        ExportError: torch can't export the model, it isn't finite, or it is larger than 2 GB.
        PaconvError: `path` can't be written.
    """
    if opset not in IR_VERSIONS:
        raise UsageError(f"opset must be 18, 19 or 20; found {opset!r}")
    grid = checked_grid(grid)
    if isinstance(source, nn.Module):
        if model is not None or trust_pickle or state_dict is not None:
            raise UsageError(
                "model, trust_pickle and state_dict tell how to read a checkpoint; found a torch module to export"
            )
    elif not isinstance(source, (str, os.PathLike)):
        raise UsageError(f"expected a torch module or the path of a checkpoint; found {type(source).__name__}")
    with replacing(path) as temporary:
        if isinstance(source, nn.Module):
            module = unwrapped(source)
            input_shape = getattr(source, "paconv_input_shape", None) if input_shape is None else input_shape
        else:
            module = unwrapped(load(source, model, trust_pickle=trust_pickle, state_dict=state_dict))
            if os.path.exists(path) and os.path.samefile(source, path):
                raise UsageError(f"{path}: the output would replace the checkpoint; give another name")
        if input_shape is None:
            input_shape = getattr(module, "paconv_input_shape", None)
        if input_shape is None:
            raise UsageError(
                "the model does not carry its input shape; give input_shape=(C, H, W) (--input-shape CxHxW)"
            )
        names = list(input_shape) if isinstance(input_shape, Mapping) else None
        shapes = checked_shapes(list(input_shape.values()) if isinstance(input_shape, Mapping) else input_shape)
        proto, levels = exported(module, shapes, opset, dynamic_size, grid, names)
        origin = read_from if isinstance(source, nn.Module) else source
        if origin is not None:
            note(proto, {"paconv.source": "checkpoint", "paconv.source_sha256": file_sha256(origin)})
        temporary.write_bytes(proto.SerializeToString())
        size = temporary.stat().st_size
    quantized, real = _count_convs(proto.graph)
    return Exported(Path(path), size, quantized, real, levels)


def exported(
    module: nn.Module,
    shapes: Sequence[Shape],
    opset: int = 18,
    dynamic_size: bool = False,
    grid: GridChoice = DEFAULT_GRID,
    names: Sequence[str] | None = None,
) -> tuple[onnx.ModelProto, LevelReport | None]:
    """What `export` writes of `module`, and its levels; arguments and errors as there. names: of the inputs."""
    frozen, levels = frozen_copy(module, grid)
    tensors = {name for name, _ in frozen.named_parameters(remove_duplicate=False)}
    tensors |= {name for name, _ in frozen.named_buffers(remove_duplicate=False)}
    graph = trace(frozen, shapes, opset, dynamic_size, names)
    canonicalize(graph, tensors)
    rename(graph, frozen)
    proto = ir.to_proto(graph)
    _strip(proto)
    note(proto, _provenance(unwrapped(module), levels))
    proto.ir_version = IR_VERSIONS[opset]
    proto.producer_name, proto.producer_version = "paconv", __version__
    add_functions(proto)
    name_nodes(proto)
    try:
        check_model(proto)
        onnx.checker.check_model(proto, full_check=True)
    except (ModelError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"torch exported an invalid graph: {error}") from error
    return proto, levels


def _provenance(module: nn.Module, levels: LevelReport | None) -> dict[str, str | None]:
    """The entries of paconv.onnx_file.metadata.PROVENANCE that a module has."""
    entries: dict[str, str | None] = {"paconv.source": "module"}
    if (conversion := getattr(module, "paconv_conversion", None)) is not None:
        M, N = conversion["M"], conversion["N"]
        entries |= {"paconv.scheme": conversion.get("scheme", "pa"), "paconv.M": str(M)}
        entries |= {"paconv.N": "full" if N is None else str(N)}
    if levels is not None:
        most = {kind: {la.most for la in levels.layers if la.kind == kind} for kind in ("weights", "activations")}
        limits = [None if None in found else max(filter(None, found), default=None) for found in most.values()]
        entries["paconv.grid"] = grid_text(*limits)
    return {**entries, "paconv.torch": str(torch.__version__), "paconv.version": __version__}


def _strip(proto: onnx.ModelProto) -> None:
    """Remove the exporter's notes (stack traces with paths of this machine among them) and needless value infos."""
    graph = proto.graph
    noted = (graph.node, graph.input, graph.output, graph.value_info, graph.initializer)
    for item in (proto, graph, *(item for items in noted for item in items)):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    constants = {tensor.name for tensor in graph.initializer}
    shapes = [value for value in graph.value_info if value.name not in constants]
    del graph.value_info[:]
    graph.value_info.extend(shapes)


def _count_convs(graph: onnx.GraphProto) -> tuple[int, int]:
    approximated = {n.output[0] for n in graph.node if (n.domain, n.op_type) == (DOMAIN, PA_WEIGHT.name)}
    convs = [n for n in graph.node if n.domain == "" and n.op_type == "Conv"]
    quantized = sum(n.input[1] in approximated for n in convs)
    return quantized, len(convs) - quantized
