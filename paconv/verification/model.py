"""A model opened for verification: its nodes by output, its constants, and runs that read tensors on the way."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
import onnxruntime as ort

from paconv.errors import VerifyError
from paconv.onnx_file.graph_view import constant_array
from paconv.ops import DOMAIN
from paconv.runtime.session import ORT_ERRORS, register

__all__ = ["OpenModel", "run_model"]


class OpenModel:
    """An ONNX model with look-ups.

    producer     tensor name -> node
    constants    name -> array, of initializers and Constant nodes
    bit_convs    the PABitConv nodes in topological order
    """

    def __init__(self, model: onnx.ModelProto, label: str):
        self.model, self.label = model, label
        self.producer = {name: node for node in model.graph.node for name in node.output if name}
        self.constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
        for node in model.graph.node:
            if (value := constant_array(node)) is not None:
                self.constants[node.output[0]] = value
        self.inputs = [i for i in model.graph.input if i.name not in self.constants]
        self.outputs = [o.name for o in model.graph.output]
        self.bit_convs = [n for n in model.graph.node if (n.domain, n.op_type) == (DOMAIN, "PABitConv")]

    def path(self, start: str, end: str) -> list[tuple[onnx.NodeProto, str]]:
        """The nodes from tensor `start` to tensor `end`, each with the input by which it is entered.

        Raises VerifyError if `end` isn't computed from `start` by nodes with one computed input.
        """
        steps: list[tuple[onnx.NodeProto, str]] = []
        name = end
        while name != start:
            node = self.producer.get(name)
            computed = [] if node is None else [i for i in node.input if i and i not in self.constants]
            if node is None or len(computed) != 1:
                raise VerifyError(f"{self.label}: tensor '{end}' is not made from '{start}' by simple nodes alone")
            steps.append((node, computed[0]))
            name = computed[0]
        return steps[::-1]


def run_model(
    model: onnx.ModelProto,
    feeds: dict[str, np.ndarray],
    tensors: Iterable[str],
    *,
    label: str,
    plain: bool,
    kernel: str | None = None,
) -> dict[str, np.ndarray]:
    """Run `model` and read the named tensors, whether they are outputs or lie on the way.

    plain: node by node as the graph says, without onnxruntime's fusions, so that equal nodes give equal bits. kernel:
    what PABitConv nodes run with, as for paconv.InferenceSession.
    Raises VerifyError, naming the model by `label`, if onnxruntime refuses or fails to run it.
    """
    wanted = list(dict.fromkeys(tensors))
    computed = {name for node in model.graph.node for name in node.output}
    names = [n for n in wanted if n in computed]
    options = register(ort.SessionOptions(), kernel)
    if plain:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    values = dict(zip(names, _run(model, feeds, names, label, options), strict=True)) if names else {}
    constants = {i.name: i for i in model.graph.initializer}
    for name in wanted:
        if name in feeds:
            values[name] = feeds[name]
        elif name in constants:
            values[name] = onnx.numpy_helper.to_array(constants[name])
    return values


def _run(
    model: onnx.ModelProto, feeds: dict[str, np.ndarray], names: list[str], label: str, options: ort.SessionOptions
) -> list[np.ndarray]:
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    existing = {o.name for o in probe.graph.output}
    probe.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in existing)
    options.enable_cpu_mem_arena = False  # an arena keeps what comparisons with many endpoints took, one beside another
    options.log_severity_level = 4  # failures are raised; what onnxruntime logs would come twice
    try:
        session = ort.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(names, feeds)
    except ORT_ERRORS as error:
        raise VerifyError(f"{label} does not run: {error}") from error
