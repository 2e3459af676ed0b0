"""MaxPool between PALevelConv and PALevels runs on level indexes, a byte each: paconv.ops.pa_level_max_pool.

    PALevels(MaxPool(X); v, sign) = PALevelMaxPool(PALevels(X; v, sign))        all signs +1

because a level ascends with its activation then. A window has at least one activation (pads are smaller than it), so
padding, level 0, decides nothing. ceil_mode adds windows that reach beyond the padding; where the image's size is
known, more padding at the end says the same:

    windows = ceil((n + p + q - k) / s) + 1,      q' = max((windows - 1) s + k - n - p, 0)

for n rows, pads p and q, window k and stride s, if the last window starts inside the padded image's first n + p rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from paconv.ops import DOMAIN, OPSET_VERSION
from paconv.passes.fuse.layout import is_to_channel_first, is_to_channel_last, new_levels
from paconv.passes.graph.conv_geometry import conv_geometry
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import is_op, is_paconv_op, producer, readers, static_value
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.tidy.remove_dead import REMOVE_DEAD

__all__ = ["POOL_LEVELS"]


def _levels_readers(pool: gs.Node, graph: ModelGraph) -> list[gs.Node]:
    """The PALevels that read the pooled tensor, by way of our Transpose; empty if there is none.

    Raises Unsuitable if something else reads it, or one of them compares the other way round.
    """
    pooled = pool.outputs[0]
    behind = [n for n, _ in readers(pooled)]
    found = [n for t in behind if is_to_channel_last(t) for n, _ in readers(t.outputs[0])]
    levels = [n for n in found if is_paconv_op(n, "PALevels")]
    if not levels:
        return []
    if len(levels) < len(found) or not all(map(is_to_channel_last, behind)) or not graph.is_free(pooled):
        raise Unsuitable("pool-read-by-others")
    signs = [static_value(n.inputs[2]) for n in levels]
    if any(sign is None or (sign != 1).any() for sign in signs):
        raise Unsuitable("comparison-turned-round")
    return levels


def _geometry(pool: gs.Node) -> dict[str, list[int]]:
    """kernel_shape, strides and pads of the MaxPool. Raises Unsuitable where these don't say it all."""
    kernel = list(pool.attrs["kernel_shape"])
    geometry = conv_geometry(pool, kernel)
    pads = list(geometry.pads)
    if any(d != 1 for d in geometry.dilations) or any(not t.is_empty() for t in pool.outputs[1:]):
        raise Unsuitable("pool-not-plain")
    if pool.attrs.get("ceil_mode", 0):
        pads[2:] = _ceil_pads(pool.inputs[0].shape, kernel, geometry.strides, pads)
    if any(p >= kernel[axis % 2] for axis, p in enumerate(pads)):
        raise Unsuitable("pool-not-plain")
    return {"kernel_shape": kernel, "strides": geometry.strides, "pads": pads}


def _ceil_pads(shape: list | None, kernel: list[int], strides: list[int], pads: list[int]) -> list[int]:
    ends = []
    for axis, n in enumerate([None, None] if shape is None else shape[2:]):
        if not isinstance(n, int):
            raise Unsuitable("pool-not-plain")
        k, s, p, q = kernel[axis], strides[axis], pads[axis], pads[axis + 2]
        last = -(-(n + p + q - k) // s) * s  # where the last window starts
        if last >= n + p:
            raise Unsuitable("pool-not-plain")
        ends.append(max(last + k - n - p, 0))
    return ends


def _rewrite(pool: gs.Node, levels: list[gs.Node], graph: ModelGraph) -> None:
    (turn,) = pool.inputs[0].inputs
    x, pooled = turn.inputs[0], pool.outputs[0]
    geometry = _geometry(pool)
    for node in levels:
        L = new_levels(pool.inputs[0].name, x.shape, graph)
        P = node.outputs[0]
        node.inputs[0], node.outputs[0] = x, L
        attributes = {**geometry, "names": [pooled.name], "version": OPSET_VERSION}
        graph.insert_after(node, gs.Node("PALevelMaxPool", attrs=attributes, inputs=[L], outputs=[P], domain=DOMAIN))


def _is_of_fused(pool: gs.Node) -> bool:
    return is_op(pool, "MaxPool") and is_to_channel_first(producer(pool.inputs[0]))


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for pool in list(graph.nodes):
        if not _is_of_fused(pool):
            continue
        label = graph.label(pool)
        try:
            levels = _levels_readers(pool, graph)
            if levels:
                _rewrite(pool, levels, graph)
                result.rewritten.append(Rewrite("pool", label))
        except Unsuitable as refusal:
            result.skipped.append(Skip(refusal.reason, label))
    return result


def _pools_values(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for pool in filter(_is_of_fused, graph.nodes):
        try:
            levels = _levels_readers(pool, graph)
        except Unsuitable:
            continue
        if levels:
            yield graph.label(pool), "the MaxPool is read by upward comparisons alone"


POOL_LEVELS = Pass(
    name="pool-levels",
    requires=REMOVE_DEAD.ensures,  # Transposes among them: readers are real ones
    ensures=(
        Promise("no MaxPool of a fused tensor is read by upward comparisons alone", _pools_values, but_skipped=True),
    ),
    run=_run,
)
