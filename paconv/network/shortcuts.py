"""Which 1x1 convolutions are downsampling layers: those on the shortcut of a residual block.

A convolution D with a 1x1 window is on a shortcut if its output reaches an Add without another convolution
between, and the Add's other operand depends, through at least one convolution, on the tensor that D reads
(batch norms, activations and pooling on the way to D looked through). The last 1x1 convolution of a
bottleneck is none: the shortcut beside it doesn't depend on the tensor it reads.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx

from paconv.onnx_file.graph_view import GraphView, op_name

__all__ = ["is_shortcut"]


def is_shortcut(view: GraphView, conv: onnx.NodeProto, data: str, convs: Collection[str]) -> bool:
    """Whether the 1x1 convolution node `conv`, which reads `data`, is on a shortcut.

    convs: first outputs of all convolution nodes.
    """
    root = _root(view, data, convs)
    reached, seen = [conv.output[0]], set()
    while reached:
        tensor = reached.pop()
        for node in view.consumers[tensor]:
            dynamic = view.dynamic_inputs(node)
            if op_name(node) == "Add" and len(dynamic) == 2:
                other = dynamic[1] if dynamic[0] == tensor else dynamic[0]
                if _depends_through_conv(view, other, root, convs):
                    return True
            elif len(dynamic) == 1 and node.output[0] not in convs and node.output[0] not in seen:
                seen.add(node.output[0])
                reached.append(node.output[0])
    return False


def _root(view: GraphView, tensor: str, convs: Collection[str]) -> str:
    """The tensor that `tensor` is made from by nodes with a single data input, convolutions excepted."""
    while tensor in view.producer and tensor not in convs:
        dynamic = view.dynamic_inputs(view.producer[tensor])
        if len(dynamic) != 1:
            break
        tensor = dynamic[0]
    return tensor


def _depends_through_conv(view: GraphView, tensor: str, root: str, convs: Collection[str]) -> bool:
    pending, seen = [(tensor, False)], set()
    while pending:
        name, passed = pending.pop()
        if name == root and passed:
            return True
        if (name, passed) in seen or name not in view.producer:
            continue
        seen.add((name, passed))
        passed = passed or name in convs
        pending.extend((source, passed) for source in view.dynamic_inputs(view.producer[name]))
    return False
