"""Pad nodes that only pad a quantized activation with zeros become pads of the convolution that reads it.

    Conv(Pad(a, p), w; pads q) = Conv(a, w; pads p + q)

for constant zeros p >= 0 on rows and columns: both pad after quantization, where padding sets no plane. torch exports
`padding="same"` with an even kernel so.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite
from paconv.passes.graph.matching import is_op, is_paconv_op, is_zero, optional_input, producer, static_value
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.tidy.drop_no_ops import DROP_NO_OPS

__all__ = ["MERGE_PAD"]


def _pads(pad: gs.Node) -> list[int] | None:
    """[top, left, bottom, right] of a Pad with constant zeros on rows and columns of (B, C, H, W), else None."""
    if pad.attrs.get("mode", "constant") != "constant" or len(pad.inputs) < 2:
        return None
    amounts, value, axes = static_value(pad.inputs[1]), optional_input(pad, 2), optional_input(pad, 3)
    if value is not None and not is_zero(value):
        return None
    axes = np.arange(4) if axes is None else static_value(axes)
    if amounts is None or axes is None or len(amounts) != 2 * len(axes) or (amounts < 0).any():
        return None
    full = np.zeros((2, 4), np.int64)
    full[:, axes] = amounts.reshape(2, -1)
    return None if full[:, :2].any() else full[:, 2:].reshape(-1).tolist()


def _merged(conv: gs.Node) -> list[int] | None:
    """Pads of a convolution together with those of the Pad in front of it, None where they don't merge."""
    pad = producer(conv.inputs[0]) if is_op(conv, "Conv") else None
    if not is_op(pad, "Pad") or not is_paconv_op(producer(pad.inputs[0]), "PAActivation"):
        return None
    amounts = _pads(pad)
    if amounts is None or conv.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    own = conv.attrs.get("pads", [0] * 4) if conv.attrs.get("auto_pad", "NOTSET") == "NOTSET" else [0] * 4
    return [a + b for a, b in zip(own, amounts, strict=True)] if len(own) == 4 else None


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for conv in graph.nodes:
        pads = _merged(conv)
        if pads is None:
            continue
        conv.attrs.pop("auto_pad", None)
        conv.attrs["pads"] = pads
        (pad,) = conv.inputs[0].inputs
        conv.inputs[0] = pad.inputs[0]
        result.rewritten.append(Rewrite("pad", graph.label(conv)))
    return result


def _still_padded(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for conv in graph.nodes:
        if _merged(conv) is not None:
            yield graph.label(conv), f"the Pad '{graph.label(producer(conv.inputs[0]))}' before it could be its pads"


MERGE_PAD = Pass(
    name="merge-pad",
    requires=DROP_NO_OPS.ensures,  # so that Pad and convolution are adjacent
    ensures=(
        Promise(
            "no 2-D convolution with explicit pads reads a PAActivation through a Pad of constant zeros on rows and "
            "columns",
            _still_padded,
        ),
    ),
    run=_run,
)
