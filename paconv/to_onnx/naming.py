"""Names by which a reader finds a node in the torch model, in place of the exporter's counters.

A node is called after the module it comes from: `layer1.0.conv1` for the Conv of that module, `layer1.0/Add` for an
addition in the code of `layer1.0`. Its output is `<node>:0`. Parameters keep their state-dict names. What a model
holds under several names, as a shared quantizer is, goes by the first.
"""

from __future__ import annotations

from ast import literal_eval
from collections import Counter
from collections.abc import Iterable

import onnx_ir as ir
from torch import nn

from paconv.onnx_file.names import unique
from paconv.ops import DOMAIN

__all__ = ["rename"]

_LAYERS = {"BatchNormalization", "Conv", "ConvTranspose", "Gemm", "MatMul"}
"""Ops that stand for their module even where its code has other ops beside."""


def rename(model: ir.Model, source: nn.Module) -> None:
    """Rename nodes and values of `model`, exported from `source`, in place.

    A single input is called `input`, several as in `forward`; a single output `output`, several `output_0`,
    `output_1`, ...
    """
    graph = model.graph
    modules = _first_names(source.named_modules(remove_duplicate=False))
    tensors = _first_names(source.named_parameters(remove_duplicate=False))
    tensors |= _first_names(source.named_buffers(remove_duplicate=False))
    paths = {node: modules.get(path := _path(node), path) for node in graph}
    crowd = Counter(paths.values())
    taken = set(tensors)
    if len(graph.inputs) == 1:
        graph.inputs[0].name = unique("input", taken)
    taken.update(str(value.name) for value in graph.inputs)
    for index, value in enumerate(graph.outputs):
        value.name = unique("output" if len(graph.outputs) == 1 else f"output_{index}", taken)

    outputs = set(graph.outputs)
    nodes: set[str] = set()
    for node in graph:
        path = paths[node]
        alone = path and (crowd[path] == 1 or node.op_type in _LAYERS or node.domain == DOMAIN)
        node.name = unique(path if alone else f"{path}/{node.op_type}".lstrip("/"), nodes)
        for index, value in enumerate(node.outputs):
            if value not in outputs:
                value.name = unique(f"{node.name}:{index}", taken)
    for value in list(graph.initializers.values()):
        if value.name in tensors:
            value.name = tensors[value.name]
        else:
            node, index = next(iter(value.uses()))
            value.name = unique(f"{node.name}/constant_{index}", taken)


def _first_names(named: Iterable[tuple[str, object]]) -> dict[str, str]:
    """Each name -> the first name of the same object."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(item), name) for name, item in named}


def _path(node: ir.Node) -> str:
    """Path of the module whose code made the node; "" for the model itself."""
    scopes = literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))
    return scopes[-2] if len(scopes) > 1 else ""
