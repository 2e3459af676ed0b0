"""One call of torch's exporter, kept quiet, and its failures reported in one line.

torch.export narrows a free dimension in silence where the model's code branches on it (`if x.shape[0] > 4`): the graph
is then right only for sizes on the example's side. Such a graph is refused here.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import onnx_ir as ir
import torch
from torch import nn

from paconv.errors import ExportError, PaconvError
from paconv.input_shape import Shape
from paconv.to_onnx.arguments import by_parameter, called_with, places_of

__all__ = ["BATCH", "trace"]

BATCH = "batch"
"""Name of the free first dimension of every input."""

_UNBOUNDED = 1 << 31
"""Dimensions of this size are none; torch writes int_oo."""

_EXAMPLE_BATCH = 2
"""torch.export takes sizes 0 and 1 for constants."""


def trace(
    model: nn.Module, shapes: Sequence[Shape], opset: int, dynamic_size: bool, names: Sequence[str] | None = None
) -> ir.Model:
    """The graph of `model` on float32 inputs of `shapes` (without the batch), as the exporter makes it.

    dynamic_size: free the height and width of inputs (C, H, W) too. names: of the arguments of `forward` that the
    inputs are; None for the order of its arguments. Raises ExportError with torch's reason.
    """
    places = places_of(model, len(shapes), names)
    shapes = [shapes[place.index] for place in places]
    free = tuple(_free_dimensions(shape, index, dynamic_size) for index, shape in enumerate(shapes))
    examples = [torch.zeros(_EXAMPLE_BATCH, *shape) for shape in shapes]
    args, kwargs = called_with(places, examples)
    text = " and ".join("x".join(map(str, shape)) for shape in shapes)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                model,
                args,
                kwargs=kwargs,
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=by_parameter(places, free),
                verbose=False,
                optimize=False,
            )
    except Exception as error:  # the model's own code, run on stand-ins for tensors
        root = _root(error)
        if isinstance(root, PaconvError):
            raise root from error
        raise ExportError(f"torch can't export the model for inputs of shape {text}: {_first_line(root)}") from error
    assert program is not None and program.exported_program is not None  # with dynamo=True
    _check_ranges(program.exported_program, free)
    return program.model


def _free_dimensions(shape: Shape, index: int, dynamic_size: bool) -> dict[int, str]:
    free = {0: BATCH}
    if dynamic_size and len(shape) == 3:
        suffix = f"_{index}" if index else ""
        free |= {2: f"height{suffix}", 3: f"width{suffix}"}
    return free


def _check_ranges(program: torch.export.ExportedProgram, free: Sequence[dict[int, str]]) -> None:
    """Refuse a graph that holds only for some sizes of a free dimension. A least height or width is no harm."""
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    for name, dimensions in zip(program.graph_signature.user_inputs, free, strict=True):
        for axis, dimension in dimensions.items():
            bounds = program.range_constraints.get(values[name].shape[axis].node.expr)
            if bounds is None:
                continue
            lower, upper = bounds.lower, bounds.upper
            if upper < _UNBOUNDED or (dimension == BATCH and lower > 1):
                raise ExportError(
                    f"the model's code decides by the {dimension} of its input, so that the exported graph would be "
                    f"right only for {dimension} {lower} to {upper}; make the code independent of it"
                    + ("" if dimension == BATCH else ", or export without dynamic sizes")
                )


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings, log lines and printed graphs from the exporter: what matters of them becomes an ExportError."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _first_line(error: BaseException) -> str:
    lines = (re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in str(error).splitlines())
    line = next((line for line in lines if line), "")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
