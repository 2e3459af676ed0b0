"""Random networks of quantized convolutions through `optimize`: model.onnx against pa.onnx, fused and canonical.

Even cases have numbers on a dyadic grid, so that sums of float32 are exact in any order: every form, with the library
by each kernel and without it, gives what model.onnx gives. Odd cases have any floats, and batch norms of any sign and
size: `paconv.verify` accepts both forms. In both the library's bits are the same on every CPU and number of threads.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

import paconv
from paconv.errors import ModelError, PaconvError
from paconv.kernels.registry import CHOICES
from paconv.ops import DOMAIN, add_functions
from paconv.runtime.library import runnable_cpus
from paconv.runtime.session import ORT_ERRORS
from tests.fuzz.watched import Outcome

__all__ = ["random_network", "work"]

Rng = np.random.Generator
Tensor = tuple[str, int, int, int]
"""(name, channels, rows, columns)"""

STEPS = ("bn", "bn", "relu", "relu", "clip", "Mul", "Add", "Identity", "max", "average", "residual", "concat", "Abs",
         "Neg")  # fmt: skip
BATCHES = (2, 1, 0, 3)


class Network:
    """A graph in the making."""

    def __init__(self, rng: Rng, exact: bool) -> None:
        self.rng, self.exact = rng, exact
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.tensors: list[Tensor] = []

    def constant(self, value) -> str:
        name = f"c{len(self.constants)}"
        array = np.asarray(value)
        self.constants[name] = array if array.dtype == np.uint8 else array.astype(np.float32)
        return name

    def op(self, op: str, inputs: list[str], domain: str = "", **attributes) -> str:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], domain=domain, name=name, **attributes))
        return name

    def numbers(self, *shape: int, top: int = 16) -> np.ndarray:
        if self.exact:
            return (self.rng.integers(-top, top + 1, shape) / 8).astype(np.float32)
        return self.rng.standard_normal(shape).astype(np.float32)

    def quantized(self, x: str) -> str:
        """PA's levels, or, one time in four, sums of planes with an offset."""
        N = int(self.rng.integers(1, 9))
        v = self.numbers(N)
        v = np.sort(v if self.rng.integers(3) else np.abs(v))
        if self.rng.integers(4):
            values = [0, *np.sort(np.abs(self.numbers(N, top=8)))]
            return self.op("PAActivation", [x, self.constant(v), self.constant(values)], DOMAIN)
        planes = int(self.rng.integers(1, 5))
        masks = self.rng.integers(0, 1 << planes, N + 1).astype(np.uint8)
        beta = self.numbers(planes + 1, top=4)
        bits = masks[:, None] >> np.arange(planes) & 1
        values = beta[0].astype(np.float64) + (bits * beta[1:].astype(np.float64)).sum(1)
        inputs = [x, *map(self.constant, (v, values, beta, masks))]
        return self.op("PAActivation", inputs, DOMAIN)

    def weights(self, *shape: int) -> str:
        M = int(self.rng.integers(1, 9))
        alpha = np.sort(self.numbers(M, top=8))
        levels = [*alpha[: M // 2], 0, *alpha[M // 2 :]]
        inputs = map(self.constant, (self.numbers(*shape), np.sort(self.numbers(M)), levels))
        return self.op("PAWeight", list(inputs), DOMAIN)

    def convolution(self, x: str, C: int, H: int, W: int) -> Tensor:
        rng = self.rng
        group = int(rng.choice([g for g in (1, 1, 1, 2, 3, C) if C % g == 0]))
        kernel, dilations, pads, strides = [3, 3], [1, 1], [1, 1, 1, 1], [1, 1]
        if rng.integers(2):
            kernel, dilations = ([int(n) for n in rng.choice(of, 2)] for of in ([1, 1, 2, 3, 3, 5], [1, 1, 1, 2]))
            pads, strides = [int(p) for p in rng.integers(0, 3, 4)], [int(s) for s in rng.choice([1, 1, 1, 2, 3], 2)]
        free = [n + pads[a] + pads[a + 2] - dilations[a] * (kernel[a] - 1) - 1 for a, n in ((0, H), (1, W))]
        if min(free) < 0:
            kernel, dilations, pads, strides, free = [1, 1], [1, 1], [0] * 4, [1, 1], [H - 1, W - 1]
        out = group * int(rng.choice([1, 2, 3, 5, 8, 16, 17, 33])) if group < 4 else group
        bias = [self.constant(self.numbers(out))] if rng.integers(2) else []
        inputs = [x, self.weights(out, C // group, *kernel), *bias]
        y = self.op("Conv", inputs, strides=strides, pads=pads, dilations=dilations, group=group)
        return y, out, free[0] // strides[0] + 1, free[1] // strides[1] + 1

    def batch_norm(self, x: str, C: int) -> str:
        rng = self.rng
        if self.exact:
            scale, variance, epsilon = rng.choice([-2, -1, -0.5, 0, 0.5, 1, 2], C), rng.choice([0.25, 1, 4], C), 0.0
            shift, mean = self.numbers(C, top=4), self.numbers(C, top=4)
        else:
            scale = rng.standard_normal(C) * rng.choice([1, 1, 1, 1e-3, 1e-10, 1e-20, 0, 1e3, 1e10], C)
            shift = rng.standard_normal(C) * rng.choice([1, 1, 1e-3, 1e3, 0], C)
            mean = rng.standard_normal(C) * rng.choice([1, 1, 1e3, 0], C)
            variance, epsilon = np.abs(rng.standard_normal(C)) * rng.choice([1, 1, 1e-6, 1e6, 0], C), 1e-5
        return self.op("BatchNormalization", [x, *map(self.constant, (scale, shift, mean, variance))], epsilon=epsilon)

    def step(self, tensor: Tensor) -> Tensor:
        """Something that is no convolution; the tensor itself where its sizes don't allow what was drawn."""
        x, C, H, W = tensor
        rng, what = self.rng, STEPS[self.rng.integers(len(STEPS))]
        other = None
        if what in ("residual", "concat"):
            beside = [t for t in self.tensors if t[2:] == (H, W)]
            fitting = [t for t in beside if (t[1] == C if what == "residual" else t[1] + C < 64)]
            other = fitting[rng.integers(len(fitting))] if fitting else None
        if what == "bn":
            return self.batch_norm(x, C), C, H, W
        if what == "relu":
            return self.op("Relu", [x]), C, H, W
        if what == "clip":
            return self.op("Clip", [x, *(self.constant(bound) for bound in sorted(self.numbers(2)))]), C, H, W
        if what in ("Mul", "Add"):
            shape = [(1, C, 1, 1), (C, 1, 1), (1,), ()][rng.integers(4)]
            powers = self.exact and what == "Mul"
            value = rng.choice([-2.0, -1.0, 0.5, 1.0, 0.0], shape) if powers else self.numbers(*shape, top=4)
            return self.op(what, [x, self.constant(value)][:: int(rng.choice([1, -1]))]), C, H, W
        if what in ("Identity", "Abs", "Neg"):
            return self.op(what, [x]), C, H, W
        if what == "max" and min(H, W) >= 3:
            pads, kernel = [int(p) for p in rng.integers(0, 2, 4)], [int(k) for k in rng.integers(2, 4, 2)]
            strides = [int(s) for s in rng.integers(1, 3, 2)]
            y = self.op("MaxPool", [x], kernel_shape=kernel, strides=strides, pads=pads)
            return y, C, *((n + pads[a] + pads[a + 2] - kernel[a]) // strides[a] + 1 for a, n in ((0, H), (1, W)))
        if what == "average" and min(H, W) >= 2:
            return self.op("AveragePool", [x], kernel_shape=[2, 2]), C, H - 1, W - 1
        if what == "residual" and other:
            return self.op("Add", [x, other[0]][:: int(rng.choice([1, -1]))]), C, H, W
        if what == "concat" and other:
            return self.op("Concat", [x, other[0]], axis=1), C + other[1], H, W
        return tensor


def random_network(rng: Rng, exact: bool) -> tuple[onnx.ModelProto, list[np.ndarray]]:
    """model.onnx with input x, and what to feed: one array for each of BATCHES."""
    network = Network(rng, exact)
    C, H, W = int(rng.choice([1, 2, 3, 4, 6, 16, 33])), *(int(n) for n in rng.integers(3, 11, 2))
    network.tensors.append(("x", C, H, W))
    tensor, quantized = network.tensors[0], {}
    for _ in range(int(rng.integers(1, 6))):
        if rng.integers(4) == 0:  # a branch
            tensor = network.tensors[rng.integers(len(network.tensors))]
        name = tensor[0]
        if rng.integers(8):  # else real activations
            if name not in quantized or rng.integers(2):
                quantized[name] = network.quantized(name)
            name = quantized[name]
        tensor = network.convolution(name, *tensor[1:])
        network.tensors.append(tensor)
        for _ in range(int(rng.integers(0, 5))):
            tensor = network.step(tensor)
            network.tensors.append(tensor)
    read = {name for node in network.nodes for name in node.input}
    outputs = {t[0]: t for t in network.tensors[1:] if t[0] not in read or rng.integers(12) == 0}
    free = bool(rng.integers(2))
    shape = ["B", C, "H" if free else H, "W" if free else W]
    graph = helper.make_graph(
        network.nodes, "network", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", t[1], f"h{k}", f"w{k}"])
         for k, (name, t) in enumerate(outputs.items())],
        [numpy_helper.from_array(value, name) for name, value in network.constants.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, ir_version=8, opset_imports=imports)
    add_functions(model)
    more = rng.integers(0, 4, len(BATCHES)) * free
    more[0] = 0  # the sizes that the graph was drawn for
    scale = np.float32(1 if exact else rng.choice([1, 1, 10]))
    return model, [network.numbers(b, C, H + m, W + m) * scale for b, m in zip(BATCHES, more.tolist(), strict=True)]


def work(seed: int, index: int) -> Outcome:
    """Case `index`: one network."""
    exact = index % 2 == 0
    model, feeds = random_network(np.random.default_rng([seed, index]), exact)
    found = Outcome()
    try:
        expected = _run(model, feeds)
    except ORT_ERRORS as error:
        # Branches that meet at the size they were drawn for may not at another: strides and windows round it.
        if not ("dimensions must match" in str(error) and len({X.shape[2:] for X in feeds}) > 1):
            found.findings.append(f"model.onnx doesn't run: {error}")
            return found
        found.counts["branches of other sizes"] += 1
        feeds = feeds[:1]
        expected = _run(model, feeds)
    for fuse in (True, False):
        try:
            form = paconv.optimize(model, fuse=fuse).model
        except ModelError as error:
            if "nothing to convert" in str(error):
                found.counts["nothing to convert"] += 1
                return found
            raise
        outputs = _outputs_of(form, feeds, found, f"fuse={fuse}")
        if not exact:
            _verify(model, form, feeds[0], found, f"fuse={fuse}")
            continue
        for how, got in outputs.items():
            found.counts["compared with model.onnx"] += 1
            if not all(_same(a, b) for a, b in zip(expected, got, strict=True)):
                found.findings.append(f"DIFFERENT from model.onnx: fuse={fuse}, {how}")
    found.counts["exact" if exact else "floats"] += 1
    return found


def _outputs_of(form: onnx.ModelProto, feeds: list[np.ndarray], found: Outcome, which: str) -> dict[str, list]:
    """The form's outputs by what ran it. The same kernel must give the same bits on every CPU and number of threads."""
    threads = iter((1, 2, 5, 2, 1, 2, 5, 1, 2, 5))
    outputs = {"without the library": _run(form, feeds), "auto, 2 threads": _run(form, feeds, "auto", 2)}
    sums_by_threads = any(n.op_type == "Conv" for n in form.graph.node)  # onnxruntime's own
    for kernel in CHOICES:
        first = None
        for cpu in runnable_cpus():
            count = 1 if sums_by_threads else next(threads)
            with _cpu(cpu):
                got = _run(form, feeds, kernel, count)
            outputs[f"{kernel}, {cpu}, {count} threads"] = got
            first = first or got
            found.counts["compared between CPUs"] += 1
            if _bits(got) != _bits(first):
                found.findings.append(f"OTHER BITS: {which}, {kernel}, {cpu}, {count} threads")
    return outputs


def _run(model: onnx.ModelProto, feeds: list[np.ndarray], kernel: str = "", threads: int = 1) -> list[list[np.ndarray]]:
    """Outputs for each of `feeds`; with the library where there is a kernel."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    if kernel:
        paconv.register(options, kernel)
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return [session.run(None, {"x": X}) for X in feeds]


def _bits(outputs: list[list[np.ndarray]]) -> list[list[bytes]]:
    return [[array.tobytes() for array in one] for one in outputs]


@contextmanager
def _cpu(name: str) -> Iterator[None]:
    """PACONV_CPU; outside it the one that was set, if any."""
    before = os.environ.get("PACONV_CPU")
    os.environ["PACONV_CPU"] = name
    try:
        yield
    finally:
        os.environ.pop("PACONV_CPU") if before is None else os.environ.update(PACONV_CPU=before)


def _same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(x.shape == y.shape and ((x == y) | ((x != x) & (y != y))).all() for x, y in zip(a, b, strict=True))


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-networks-"))


def _verify(model: onnx.ModelProto, form: onnx.ModelProto, x: np.ndarray, found: Outcome, which: str) -> None:
    reference, optimized = (_folder() / name for name in ("model.onnx", "pa.onnx"))
    reference.write_bytes(model.SerializeToString())
    optimized.write_bytes(form.SerializeToString())
    found.counts["verified"] += 1
    try:
        result = paconv.verify(reference, optimized, inputs={"x": x})
    except PaconvError as error:
        found.findings.append(f"VERIFY: {which}: {error}")
        return
    if not result.ok:
        found.findings.append(f"VERIFY: {which}: {result.first_difference}")
