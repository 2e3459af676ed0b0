"""`paconv.optimize`: the passes in their order, from model.onnx to pa.onnx.

Canonical form first: no-ops go, so that patterns are adjacent. Then the machine form: PABitConv, and packed weights
where activations are real. PABitConv's endpoints can differ by channel and direction, so what stands before it folds
only then; what comes after it folds last, because endpoints keep decisions exact and an output scale doesn't. Levels
that are multiples of a unit become integers just before. What is folded is carried in float64 and rounded once.

That is the canonical form. Then PABitConvs that are linked are fused into one chain: channel-last, with level indexes
of a byte between them, and with the residual, the clip and the next comparison in their finish. Real depthwise
convolutions between them become part of it, and so do the means of squeeze-and-excitation.
paconv.passes.fuse.unfuse is the way back.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass

import onnx

from paconv._version import __version__
from paconv.errors import ModelError, UsageError
from paconv.files import replacing
from paconv.network.extract import parameters
from paconv.network.parameters_note import write_note
from paconv.onnx_file.loading import load_model
from paconv.onnx_file.metadata import OPTIMIZER, note
from paconv.onnx_file.names import name_nodes
from paconv.passes.fold.drop_relu import DROP_RELU
from paconv.passes.fold.fold_after import FOLD_AFTER
from paconv.passes.fold.fold_before import FOLD_BEFORE
from paconv.passes.fold.fold_depthwise import FOLD_DEPTHWISE
from paconv.passes.fold.integer_levels import INTEGER_LEVELS
from paconv.passes.fold.narrow import NARROW
from paconv.passes.fuse.fuse_clip import FUSE_CLIP
from paconv.passes.fuse.fuse_levels import FUSE_LEVELS
from paconv.passes.fuse.fuse_residual import FUSE_RESIDUAL
from paconv.passes.fuse.link_convs import LINK_CONVS
from paconv.passes.fuse.link_depthwise import LINK_DEPTHWISE
from paconv.passes.fuse.move_levels import MOVE_LEVELS
from paconv.passes.fuse.pool_levels import POOL_LEVELS
from paconv.passes.fuse.share_levels import SHARE_LEVELS
from paconv.passes.fuse.sink_transposes import SINK_TRANSPOSES
from paconv.passes.fuse.squeeze import SQUEEZE
from paconv.passes.fuse.unfuse import canonical
from paconv.passes.graph.graph_pass import Pass
from paconv.passes.graph.model_graph import ModelGraph, inner_convs
from paconv.passes.graph.report import Account, ConversionReport, ConvLine
from paconv.passes.lower.lower_conv import LOWER_CONV
from paconv.passes.lower.lower_weights import LOWER_WEIGHTS
from paconv.passes.tidy.drop_no_ops import DROP_NO_OPS
from paconv.passes.tidy.merge_pad import MERGE_PAD
from paconv.passes.tidy.remove_dead import REMOVE_DEAD
from paconv.passes.tidy.share_constants import SHARE_CONSTANTS

__all__ = ["FLOAT_FILE", "FUSION", "PIPELINE", "TIDYING", "OptimizeResult", "check_distinct", "optimize"]

PIPELINE: tuple[tuple[Pass, ...], ...] = (
    (DROP_NO_OPS, MERGE_PAD),
    (LOWER_CONV,),
    (LOWER_WEIGHTS,),
    (REMOVE_DEAD,),
    (DROP_RELU, REMOVE_DEAD, FOLD_BEFORE, REMOVE_DEAD),
    (INTEGER_LEVELS,),
    (FOLD_AFTER, FOLD_DEPTHWISE),
    (NARROW,),
)
"""To the canonical form, in groups of passes; a group is repeated until none of its passes rewrites anything, so that
chains fold whole.
"""

FUSION: tuple[tuple[Pass, ...], ...] = (
    (LINK_CONVS,),
    (LINK_DEPTHWISE, SINK_TRANSPOSES, SQUEEZE, REMOVE_DEAD),
    (FUSE_RESIDUAL,),
    (FUSE_CLIP,),
    (SHARE_LEVELS, POOL_LEVELS, MOVE_LEVELS, REMOVE_DEAD, FUSE_LEVELS),
)
"""From the canonical form to the fused one."""

FLOAT_FILE = (
    "this is a float network; `paconv quantize` approximates a float .onnx, and paconv.convert(model) a torch model, "
    "which `paconv export` writes for optimize"
)
"""Where someone goes who has a float file."""

TIDYING: tuple[tuple[Pass, ...], ...] = ((SHARE_CONSTANTS,), (REMOVE_DEAD,))


@dataclass(frozen=True)
class OptimizeResult:
    """What `optimize` gives."""

    model: onnx.ModelProto
    """The optimized model."""
    report: ConversionReport
    """What was done to each convolution."""

    def __repr__(self) -> str:
        return f"OptimizeResult({self.report.summary()})"

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def optimize(
    model: str | os.PathLike | onnx.ModelProto,
    output: str | os.PathLike | None = None,
    *,
    fuse: bool = True,
    allow_unchanged: bool = False,
    report: str | os.PathLike | None = None,
) -> OptimizeResult:
    """Turn an exported model into its packed form: quantized Conv to PABitConv, batch norms and ReLUs folded.

    Args:
        model: An ONNX file or ModelProto; left as it is. An optimized model is returned unchanged.
        output: Where to write the result, None for nowhere; it may be the input file.
        fuse: Link PABitConvs into chains of PALevelConv. If false, the result is in canonical form, even if `model` is
            fused already.
        allow_unchanged: Accept a model with nothing to convert.
        report: Where to write the conversion report as JSON.

    Returns:
        The optimized model and the report.

    Raises:
        ModelError: The model can't be read, is inconsistent, or has nothing to convert and allow_unchanged is false.
        UsageError: `report` is the same file as `model` or `output`.
        PaconvError: An output can't be written; found before the work starts. Nothing is left half-written.
    """
    check_distinct(report, model=None if isinstance(model, onnx.ModelProto) else model, output=output)
    with ExitStack() as stack:
        temporary = None if output is None else stack.enter_context(replacing(output))
        report_temporary = None if report is None else stack.enter_context(replacing(report))
        where = "model" if isinstance(model, onnx.ModelProto) else str(model)
        source = model if isinstance(model, onnx.ModelProto) else load_model(model)
        result = _optimize(source, where, fuse, allow_unchanged)
        if temporary is not None:
            temporary.write_bytes(result.model.SerializeToString())
        if report_temporary is not None:
            report_temporary.write_text(result.report.to_json())
    return result


def check_distinct(report: str | os.PathLike | None, **others: str | os.PathLike | None) -> None:
    """Raise UsageError if the report is to be written over one of the other files."""
    for what, path in others.items():
        if report is not None and path is not None and os.path.realpath(report) == os.path.realpath(path):
            raise UsageError(f"{report}: expected a file for the report alone; it is the {what} too")


def _optimize(model: onnx.ModelProto, where: str, fuse: bool, allow_unchanged: bool) -> OptimizeResult:
    start = model if fuse else canonical(model, where)
    graph = ModelGraph(start, where)
    account = Account(graph)
    for group in (*PIPELINE, *(FUSION if fuse else ()), *TIDYING):
        while True:
            results = [(each, each(graph)) for each in group]
            for each, result in results:
                account.add(each, result)
            if not any(result.rewritten for _, result in results):
                break

    lines = account.lines() + [ConvLine(name, "real", reason) for name, reason in inner_convs(model)]
    report = ConversionReport(lines, account.passes)
    if not any(line.converted for line in lines):
        if not allow_unchanged:
            raise ModelError(f"{where}: nothing to convert: {_why_nothing(lines)}; --allow-unchanged keeps it as it is")
        report.passes = {}
    report.changed = sum(report.passes.values()) > 0 or start is not model
    optimized = model
    if report.changed:
        optimized = graph.export()
        name_nodes(optimized)
        note(optimized, {OPTIMIZER: __version__})
        write_note(optimized, parameters(model))
    report.bytes_before, report.bytes_after = model.ByteSize(), optimized.ByteSize()
    return OptimizeResult(optimized, report)


def _why_nothing(lines: list[ConvLine]) -> str:
    if not lines:
        return "it has no Conv"
    counts = Counter(line.reason for line in lines)
    said = f"{len(lines)} Conv, none converted (" + ", ".join(f"{k}: {n}" for k, n in counts.most_common()) + ")"
    return f"{said}: {FLOAT_FILE}" if set(counts) == {"real-weights"} else said
