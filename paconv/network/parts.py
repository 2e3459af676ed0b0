"""A convolution that a file has in parts, each a convolution of its own, and as the one layer that it is.

SYQ has a scale for each pixel of the kernel (or each row), so that a kernel is exported as one convolution for each,
added (paconv.nn.schemes.syq). Part i reads the layer's input x, cropped at its begin by c_i and padded there by p_i
pixels; so its first window lies at place

    p_i - c_i = P - d k_i        P: padding of the whole kernel, d: dilation, k_i: the part's place in the kernel

along each axis, and the same at the ends. Parts with the same input, shape and sum are put together if their places
form a grid, one each; a set that doesn't stays as it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx

from paconv.network.layers import CONV, KernelPart, Layer, Network
from paconv.onnx_file.graph_view import GraphView, constant_array, op_name

__all__ = ["kernel_part", "with_whole_kernels"]


def kernel_part(view: GraphView, node: onnx.NodeProto, quantized: onnx.NodeProto | None) -> KernelPart | None:
    """What `node` is as a part of a sum of convolutions; None if it isn't added to anything, or its crops are computed.

    quantized: the PAActivation that it reads, if it is a Conv of one.
    """
    total = _sum_of(view, node.output[0])
    if total == node.output[0]:
        return None
    before, after = np.zeros(2, int), np.zeros(2, int)
    tensor = node.input[0]
    while tensor in view.producer:
        reader = view.producer[tensor]
        if op_name(reader) == "Pad":
            pads = _constant(view, reader.input[1])
            if pads is None or len(pads) != 8:
                return None
            before, after = before + pads[2:4], after + pads[6:8]
        elif op_name(reader) == "Slice":
            crop = _crop(view, reader)
            if crop is None:
                return None
            before, after = before - crop[0], after - crop[1]
        elif reader is not quantized and op_name(reader) != "Identity":
            break
        tensor = reader.input[0]
    return KernelPart(total, tensor, tuple(map(int, before)), tuple(map(int, after)))


def _sum_of(view: GraphView, tensor: str) -> str:
    """The last of the additions that `tensor` goes into, nothing else between or beside."""
    while len(readers := view.consumers[tensor]) == 1 and op_name(readers[0]) == "Add":
        tensor = readers[0].output[0]
    return tensor


def _crop(view: GraphView, node: onnx.NodeProto) -> tuple[np.ndarray, np.ndarray] | None:
    """Pixels (rows, columns) that a Slice takes away at the begin and at the end; None for any other Slice."""
    starts, ends, axes, steps = ([*(_constant(view, name) for name in node.input[1:]), None, None])[:4]
    if starts is None or ends is None or axes is None or (steps is not None and (steps != 1).any()):
        return None
    begin, end = np.zeros(2, int), np.zeros(2, int)
    for first, last, axis in zip(starts, ends, axes, strict=True):
        if first < 0 or (0 <= last < 1 << 31):
            return None
        if axis not in (2, 3):
            if first or last < 0:
                return None
            continue
        begin[axis - 2], end[axis - 2] = first, max(-last, 0)
    return begin, end


def _constant(view: GraphView, name: str) -> np.ndarray | None:
    if name not in view.stored:
        node = view.producer.get(name)
        return None if node is None else constant_array(node)
    return onnx.numpy_helper.to_array(view.stored[name])


def with_whole_kernels(network: Network, scheme: str) -> Network:
    """`network` with the parts of a kernel as one layer, at the place of the first; only SYQ has such parts."""
    if scheme != "syq":
        return network
    groups: dict[tuple, list[Layer]] = defaultdict(list)
    for layer in network:
        if layer.part is not None and layer.kind == CONV and layer.planes is not None:
            key = (
                layer.part.total,
                layer.part.source,
                layer.weight_shape,
                layer.output_shape,
                layer.group,
                layer.strides,
            )
            groups[key].append(layer)
    first: dict[str, Layer] = {}
    gone: set[str] = set()
    for parts in groups.values():
        whole = _whole(parts) if len(parts) > 1 else None
        if whole is not None:
            first[parts[0].name] = whole
            gone.update(part.name for part in parts[1:])
    return replace(network, layers=tuple(first.get(each.name, each) for each in network if each.name not in gone))


def _whole(parts: Sequence[Layer]) -> Layer | None:
    """The layer that `parts` are, None if their places form no grid."""
    places = [part.part for part in parts if part.part is not None]
    begins = [tuple(np.add(p.begin, part.pads[:2])) for p, part in zip(places, parts, strict=True)]
    ends = [tuple(np.add(p.end, part.pads[2:])) for p, part in zip(places, parts, strict=True)]
    kernel, dilations = [], []
    for axis, size in enumerate(parts[0].weight_shape[2:]):
        found = sorted({begin[axis] for begin in begins})
        steps = set(np.diff(found).tolist())
        if len(steps) > 1 or (len(found) > 1 and size > 1):
            return None
        kernel.append(size * len(found))
        dilations.append(steps.pop() if steps else parts[0].dilations[axis])
    if len(set(begins)) != len(parts) or np.prod(kernel) != len(parts) * np.prod(parts[0].weight_shape[2:]):
        return None
    pads = tuple(int(max(side[axis] for side in sides)) for sides in (begins, ends) for axis in (0, 1))
    one = parts[0]
    names = {part.name.partition(".parts.")[0] for part in parts}
    return replace(
        one,
        name=names.pop() if len(names) == 1 else one.name,
        weight_shape=(*one.weight_shape[:2], *kernel),
        input_shape=places[0].input_shape,
        input_id=f"{places[0].source}|{one.compared_by}",
        bias=sum(part.bias for part in parts),
        pads=pads,
        dilations=tuple(map(int, dilations)),
        part=None,
    )
