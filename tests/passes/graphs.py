"""Small graphs for the pass tests: ONNX text with initializers, numbers on a dyadic grid so that sums are exact."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

import paconv
from paconv.ops import add_functions
from paconv.passes.fold.narrow import NARROW
from paconv.passes.graph.graph_pass import Pass, PassResult
from paconv.passes.graph.model_graph import ModelGraph

V = np.float32([0.25, 0.5, 1.0])
"""Endpoints of an activation, N = 3."""
V_FROM_ZERO = np.float32([0, 0.5, 1.0])
"""Endpoints in front of which a Relu decides something and stays."""
LEVELS = np.float32([0, 0.5, 0.75, 1.25])
U = np.float32([-1, -0.5, 0.5, 1])
"""Endpoints of a weight, M = 4."""
ALPHA = np.float32([-1.25, -0.75, 0, 0.75, 1.25])


def model(text: str, opset: int = 18, **initializers) -> onnx.ModelProto:
    """A model of the graph `text`, self-contained. initializers: float32 unless they are arrays of another type."""
    parsed = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}, "paconv" : 1]>\n{text}')
    for name, value in initializers.items():
        array = value if isinstance(value, np.ndarray) else np.asarray(value, np.float32)
        parsed.graph.initializer.append(numpy_helper.from_array(array, name))
    add_functions(parsed)
    return parsed


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Weights on the grid of eighths within [-2, 2], some of them exactly on an endpoint."""
    return (rng.integers(-16, 17, shape) / 8).astype(np.float32)


def image(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Activations on the grid of eighths within [-2, 2], some of them exactly on an endpoint."""
    return (rng.integers(-16, 17, shape) / 8).astype(np.float32)


def pa_constants(rng: np.random.Generator, *weight_shape: int) -> dict[str, np.ndarray]:
    """Initializers v, levels, W, u, alpha of one quantized convolution."""
    return {"v": V, "levels": LEVELS, "W": weights(rng, *weight_shape), "u": U, "alpha": ALPHA}


def batch_norm(prefix: str, gamma, beta, mean, var) -> dict[str, np.ndarray]:
    """Initializers `prefix`_gamma, _beta, _mean, _var. Exact with powers of four in var and epsilon = 0."""
    names = ("gamma", "beta", "mean", "var")
    return {f"{prefix}_{n}": np.float32(value) for n, value in zip(names, (gamma, beta, mean, var), strict=True)}


def pa_conv(label: str, x: str, y: str, attributes: str = "pads = [1, 1, 1, 1]") -> str:
    """Text of a quantized convolution with the initializers of pa_constants."""
    return (
        f"{label}_q = paconv.PAActivation ({x}, v, levels) {label}_w = paconv.PAWeight (W, u, alpha)"
        f" [{label}] {y} = Conv <{attributes}> ({label}_q, {label}_w) "
    )


def canonical_form(text: str, weight_shape: tuple[int, ...] = (4, 4, 3, 3), **constants) -> onnx.ModelProto:
    """The canonical form of the graph `text`, with the initializers of pa_constants: what fusing passes start from."""
    reference = model(text, **(pa_constants(np.random.default_rng(0), *weight_shape) | constants))
    return paconv.optimize(reference, fuse=False).model


def run(model: onnx.ModelProto, **feeds) -> list[np.ndarray]:
    """All outputs in stock onnxruntime, which runs the function bodies."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def apply(passes: Pass | tuple[Pass, ...], model: onnx.ModelProto) -> tuple[onnx.ModelProto, PassResult]:
    """Run passes on a copy; check that a second run of the last one does nothing. Constants that they leave in float64
    are narrowed. The last one's result.
    """
    passes = passes if isinstance(passes, tuple) else (passes,)
    graph = ModelGraph(model)
    for each in passes:
        result = each(graph)
    assert passes[-1].run(graph).rewritten == []
    NARROW.run(graph)
    exported = graph.export()
    onnx.checker.check_model(exported)
    return exported, result


def names_of(model: onnx.ModelProto, op: str) -> list[list[str]]:
    """[node name, *outputs] of every node of this op, in order."""
    return [[node.name, *node.output] for node in model.graph.node if node.op_type == op]


def fused_names(model: onnx.ModelProto, label: str) -> list[str]:
    """The attribute `names` of a PALevelConv."""
    node = next(n for n in model.graph.node if n.name == label)
    return [name.decode() for a in node.attribute if a.name == "names" for name in a.strings]


def ops(model: onnx.ModelProto) -> list[str]:
    """Op types in order."""
    return [node.op_type for node in model.graph.node]


def initializer(model: onnx.ModelProto, name: str) -> np.ndarray:
    """Value of an initializer."""
    return next(numpy_helper.to_array(i) for i in model.graph.initializer if i.name == name)


def parameter(model: onnx.ModelProto, conv: str, name: str) -> np.ndarray:
    """Constant input `name` of the PABitConv node `conv`."""
    index = ["X", "W", "alpha", "v", "sign", "beta", "scale", "bias"].index(name)
    node = next(n for n in model.graph.node if n.name == conv)
    return initializer(model, node.input[index])
