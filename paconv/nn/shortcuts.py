"""Which 1x1 convolutions are on the shortcut of a residual block, in a graph of torch.fx.

As paconv.network.shortcuts finds it in an ONNX graph: a 1x1 convolution whose output reaches an addition without
another convolution between, and the addition's other operand depends, through at least one convolution, on the tensor
that the first one reads (batch norms, activations and pooling on the way looked through).
"""

from __future__ import annotations

import operator

import torch
from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

__all__ = ["shortcut_nodes"]

_ADDITIONS = {operator.add, operator.iadd, torch.add, "add", "add_"}


def shortcut_nodes(graph: fx.Graph, modules: dict[str, nn.Module]) -> list[fx.Node]:
    """The nodes of these convolutions, in order."""
    convs = {
        node for node in graph.nodes if node.op == "call_module" and isinstance(modules[str(node.target)], _ConvNd)
    }
    return [node for node in graph.nodes if node in convs and _is_1x1(node, modules) and _is_shortcut(node, convs)]


def _is_1x1(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    conv = modules[str(node.target)]
    return isinstance(conv, nn.Conv2d) and conv.kernel_size == (1, 1)


def _is_shortcut(conv: fx.Node, convs: set[fx.Node]) -> bool:
    root = conv.all_input_nodes[0]
    while root not in convs and len(root.all_input_nodes) == 1:
        root = root.all_input_nodes[0]
    reached, seen = [conv], set()
    while reached:
        node = reached.pop()
        for user in node.users:
            read = user.all_input_nodes
            if user.target in _ADDITIONS and len(read) == 2:
                other = read[1] if read[0] is node else read[0]
                if _depends_through_conv(other, root, convs):
                    return True
            elif len(read) == 1 and user not in convs and user not in seen:
                seen.add(user)
                reached.append(user)
    return False


def _depends_through_conv(node: fx.Node, root: fx.Node, convs: set[fx.Node]) -> bool:
    pending, seen = [(node, False)], set()
    while pending:
        node, passed = pending.pop()
        if node is root and passed:
            return True
        if (node, passed) in seen:
            continue
        seen.add((node, passed))
        passed = passed or node in convs
        pending.extend((source, passed) for source in node.all_input_nodes)
    return False
