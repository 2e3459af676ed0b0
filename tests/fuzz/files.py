"""Mutated pa.onnx files: each is refused, or it opens and runs, and then gives what its function bodies give.

Where alpha and beta are integers without a common divisor and no sum reaches 2**24 the two are equal bit for bit, as
they are without a convolution of planes. Elsewhere Y is within the bound of rounding (`_tolerance`), and levels, which
a rounding turns, are not compared.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from functools import cache, lru_cache
from math import prod

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from paconv import ops
from paconv.kernels.registry import CHOICES
from paconv.ops.pa_bit_conv import output_shape
from paconv.runtime.session import ORT_ERRORS
from tests.bit_conv_cases import FLOAT_EPS, Case, make_case, model_of, with_integer_levels
from tests.depthwise_cases import depthwise_model, make_depthwise_case
from tests.fuzz.mutations import mutated
from tests.fuzz.shims import SHIM, session_options
from tests.fuzz.watched import Outcome
from tests.level_conv_cases import OUTPUTS, level_model, make_level_case

__all__ = ["work"]

FROM_ONE = 8
"""Files that are made from one model."""

MOST = 256 << 20
"""Bytes that opening a file of some kilobytes may take; a call takes what its padding asks for."""

Rng = np.random.Generator
Feeds = dict[str, np.ndarray]
KERNELS = ("auto", *CHOICES)
WANTED = (("Y",), ("L1",), ("Y", "L1"), ("Y", "L1", "L2"), ("L2",))


def work(seed: int, index: int) -> Outcome:
    """Case `index`: a file is opened and run by the library, and by its function bodies."""
    rng = np.random.default_rng([seed, index])
    model, feeds = onnx.ModelProto(), dict(_base(seed, index // FROM_ONE)[1])
    model.CopyFrom(_base(seed, index // FROM_ONE)[0])
    data, done = mutated(rng, model)
    if rng.integers(4) == 0:
        done.append(_feed_otherwise(rng, feeds))
    found, before = Outcome(), _largest()
    if SHIM in os.environ and _asks_for_much(data):
        found.counts["left out: too large"] += 1
        return found
    try:
        session = ort.InferenceSession(data, _options(KERNELS[rng.integers(len(KERNELS))]), ["CPUExecutionProvider"])
    except (*ORT_ERRORS, UnicodeDecodeError, RuntimeError) as error:  # names that are no text, or too long for a file
        by_library = "paconv." in str(error) and "node '" in str(error)
        found.counts["refused by the library" if by_library else "refused by onnxruntime"] += 1
        return found
    feeds = {i.name: feeds[i.name] for i in session.get_inputs() if i.name in feeds}
    names = [o.name for o in session.get_outputs()]
    found.counts["opened"] += 1
    if _largest() - before > MOST:
        found.findings.append(f"{_largest() - before >> 20} MiB to open {len(data):,} bytes, after {', '.join(done)}")
    try:
        outputs = session.run(names, feeds)
    except (*ORT_ERRORS, ValueError, RuntimeError):  # ValueError: an input without an array
        found.counts["refused a call"] += 1
        return found
    found.counts["ran"] += 1
    try:
        how, fault = _compare(data, feeds, names, outputs)
    except MemoryError:  # padding makes outputs that are as large as there is memory
        how, fault = "not compared: too large", ""
    found.counts[how] += 1
    if fault:
        found.findings.append(f"{fault}, after {', '.join(done)}")
    return found


def _asks_for_much(data: bytes) -> bool:
    """Whether onnxruntime would ask for more memory than there is. Where that raises an exception otherwise,
    AddressSanitizer's operator new ends the process.
    """
    try:
        graph = onnx.ModelProto.FromString(data).graph
    except DecodeError:
        return True
    sizes = [d for tensor in graph.initializer for d in tensor.dims]
    sizes += [p for node in graph.node for a in node.attribute if a.name == "pads" for p in a.ints]
    return max(sizes, default=0) > 1 << 16


def _largest() -> int:
    """Bytes that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@lru_cache(maxsize=2)
def _base(seed: int, number: int) -> tuple[onnx.ModelProto, Feeds]:
    """A valid model and what it is fed."""
    rng = np.random.default_rng([seed, number, 1])
    makers = (_bit_conv, _chain, _level_conv, _depthwise)
    model, feeds = makers[number % len(makers)](rng)
    if rng.integers(4):  # without bodies: what the library itself checks
        del model.functions[:]
        if not any(o.domain == ops.DOMAIN for o in model.opset_import):
            model.opset_import.append(helper.make_opsetid(ops.DOMAIN, ops.OPSET_VERSION))
    return model, feeds


def _case(rng: Rng, special: bool = False) -> Case:
    """Of awkward sizes; every second one has integer levels. special: NaN and infinities are fed."""
    kernel, dilations = (tuple(int(n) for n in rng.integers(1, most, 2)) for most in (5, 4))
    pads = tuple(int(p) for p in rng.integers(0, 4, 4))
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    coding = str(rng.choice(["one-hot", "one-hot", "binary", "thermometer"]))
    case = make_case(
        rng, M=int(rng.integers(1, 9)), N=int(rng.integers(1, 5 if coding == "binary" else 9)),
        batch=int(rng.choice([0, 1, 1, 2])) if special else 1, group=int(rng.choice([1, 1, 1, 2, 3])),
        channels=int(rng.choice([1, 2, 3, 5, 7, 16, 31, 33, 64, 65])), out=int(rng.choice([1, 2, 3, 15, 16, 17, 33])),
        kernel=kernel, strides=tuple(int(s) for s in rng.integers(1, 4, 2)), pads=pads, dilations=dilations,
        size=tuple(int(max(1, spans[a] - pads[a] - pads[a + 2]) + rng.integers(0, 7)) for a in range(2)),
        per_channel=bool(rng.integers(2)), offsets=bool(rng.integers(2)), level_coding=coding,
        weight_coding=str(rng.choice(["one-hot", "binary"])), special=special and bool(rng.integers(2)),
    )  # fmt: skip
    return with_integer_levels(case, rng) if rng.integers(2) else case


def _bit_conv(rng: Rng) -> tuple[onnx.ModelProto, Feeds]:
    case = _case(rng, special=True)
    return model_of(case, counts=bool(rng.integers(12) == 0)), {"X": case.X}


def _level_case(rng: Rng):
    case = _case(rng)
    names = ("strides", "pads", "dilations")
    shape = output_shape(case.X.shape, case.attributes["weight_shape"], *(case.attributes[name] for name in names))
    return make_level_case(case, rng, shape, WANTED[rng.integers(len(WANTED))], bool(rng.integers(2)))


def _level_conv(rng: Rng) -> tuple[onnx.ModelProto, Feeds]:
    """Fed with levels; every fourth with some that no node gives."""
    level_case = _level_case(rng)
    L = level_case.L if rng.integers(4) else rng.integers(0, 256, level_case.L.shape).astype(np.uint8)
    return level_model(level_case), {"L": L, "R": level_case.residual}


def _chain(rng: Rng) -> tuple[onnx.ModelProto, Feeds]:
    """PALevels, PALevelConv, and PALevelMaxPool where its last output is levels."""
    level_case = _level_case(rng)
    model, inputs = level_model(level_case), level_case.case.inputs
    last = level_case.wanted[-1]
    nodes = [helper.make_node("PALevels", ["X", "v", "sign"], ["L"], domain=ops.DOMAIN, name="levels", version=1)]
    if OUTPUTS[last] == TensorProto.UINT8:
        kernel = [int(k) for k in rng.integers(1, 4, 2)]
        nodes.append(helper.make_node(
            "PALevelMaxPool", [last], ["P"], domain=ops.DOMAIN, name="pool", names=["p"], kernel_shape=kernel,
            strides=[int(s) for s in rng.integers(1, 3, 2)], pads=[int(rng.integers(kernel[k % 2])) for k in range(4)],
            version=1,
        ))  # fmt: skip
        model.graph.output.append(helper.make_tensor_value_info("P", TensorProto.UINT8, list("bhwc")))
    model.graph.node.insert(0, nodes[0])
    model.graph.node.extend(nodes[1:])
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("X", TensorProto.FLOAT, ["B", "H", "W", "C"]))
    model.graph.initializer.extend(numpy_helper.from_array(inputs[name], name) for name in ("v", "sign"))
    ops.add_functions(model)
    return model, {"X": np.ascontiguousarray(level_case.case.X.transpose(0, 2, 3, 1)), "R": level_case.residual}


def _depthwise(rng: Rng) -> tuple[onnx.ModelProto, Feeds]:
    kernel, strides, dilations = (tuple(int(n) for n in rng.integers(1, most, 2)) for most in (5, 4, 3))
    pads = tuple(int(p) for p in rng.integers(0, 4, 4))
    size = tuple(max(1, d * (k - 1) + 1) + int(rng.integers(6)) for k, d in zip(kernel, dilations, strict=True))
    case = make_depthwise_case(
        rng, int(rng.choice([1, 3, 15, 16, 17, 33, 58])), size, kernel, strides, pads, dilations, 1,
        WANTED[rng.integers(len(WANTED))], bool(rng.integers(2)),
    )  # fmt: skip
    return depthwise_model(case), {"X": case.X, "R": case.R}


def _feed_otherwise(rng: Rng, feeds: Feeds) -> str:
    """Feeds one input in another shape; returns what was done."""
    name = sorted(feeds)[rng.integers(len(feeds))]
    shape = list(feeds[name].shape)
    shape[rng.integers(len(shape))] = (0, 1, 2, 5, 33, 100)[rng.integers(6)]
    shape = shape[: 3 if rng.integers(3) == 0 else 4]
    levels = feeds[name].dtype == np.uint8
    feeds[name] = rng.integers(0, 256, shape).astype(np.uint8) if levels else rng.standard_normal(shape).astype("f")
    return f"{name} fed as {shape}"


@cache
def _options(kernel: str) -> ort.SessionOptions:
    return session_options(kernel)


@cache
def _stock() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _compare(data: bytes, feeds: Feeds, names: list[str], outputs: list[np.ndarray]) -> tuple[str, str]:
    """How the outputs were compared with those of the function bodies, and "" or what is wrong."""
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        return "not compared: onnx can't read it", ""
    if any(o.domain == ops.DOMAIN and o.version < 1 for o in model.opset_import):
        return "not compared: onnxruntime ran the bodies", ""
    del model.functions[:]  # they may have been changed
    ops.add_functions(model)
    try:
        session = ort.InferenceSession(model.SerializeToString(), _stock(), ["CPUExecutionProvider"])
        expected = session.run(names, feeds)
    except (*ORT_ERRORS, ValueError, RuntimeError):
        return "not compared: its bodies don't run", ""
    try:
        tolerance = _tolerance(model, feeds)
    except (ValueError, RuntimeError):  # an initializer that nothing reads
        return "not compared: onnx can't read it", ""
    for name, want, have in zip(names, expected, outputs, strict=True):
        if not isinstance(want, np.ndarray) or not isinstance(have, np.ndarray):
            continue
        if (want.shape, want.dtype) != (have.shape, have.dtype):
            return "compared", f"DIFFERENT {name}: {have.dtype} {have.shape}, its body {want.dtype} {want.shape}"
        same = (want == have) | ((want != want) & (have != have))
        if tolerance is not None and want.dtype.kind == "f":
            with np.errstate(invalid="ignore"):  # infinities
                same |= np.abs(want.astype(np.float64) - have) <= tolerance
        elif tolerance is not None:
            continue  # levels
        if not same.all():
            at = np.unravel_index(same.argmin(), same.shape)
            where = f"{name}{list(map(int, at))}"
            return "compared", f"DIFFERENT {where}: {have[at]}, its body {want[at]}, bound {tolerance}"
    return ("compared bit for bit" if tolerance is None else "compared within rounding"), ""


def _tolerance(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> float | None:
    """None where every convolution's sums are integers below 2**24, without a common divisor. Else the bound of
    the rounding of kernel and body.

    Of one convolution S = scale * sum + bias that bound is gamma_{K+40} (|scale| A B K + |bias|), A and B the sums of
    the magnitudes of alpha and beta, K the window: twice tests.bit_conv_cases.body_tolerance. A product of a weight and
    an activation that is no normal float is off by up to 2**-149 as well. The residual's sum rounds once more.
    """
    values = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    worst, exact = 0.0, True
    for node in model.graph.node:
        if node.domain != ops.DOMAIN or node.op_type not in ("PABitConv", "PALevelConv"):
            exact &= node.domain == ops.DOMAIN
            continue
        schema = ops.SCHEMAS[node.op_type]
        of = {t.name: values.get(name) for t, name in zip(schema.inputs, node.input, strict=False)}
        alpha, beta, scale, bias = (np.abs(of[name].astype(np.float64)) for name in ("alpha", "beta", "scale", "bias"))
        K = prod(next(a.ints for a in node.attribute if a.name == "weight_shape")[1:])
        A, B = alpha.sum(1).max(), beta.sum()
        if A * B * K < 1 << 24 and _without_common_divisor(alpha) and _without_common_divisor(beta[None]):
            continue
        exact = False
        R = np.abs(feeds["R"]).max(initial=0) if "R" in feeds else 0
        share = 2 * (K + 40) * FLOAT_EPS
        worst = max(worst, share * (scale.max() * A * B * K + bias.max() + R) + scale.max() * K * 2.0**-149)
    return None if exact else worst


def _without_common_divisor(rows: np.ndarray) -> bool:
    """rows (R, n), not negative: are they integers, those of each row with no divisor but powers of two?"""
    if (np.rint(rows) != rows).any():
        return False
    divisors = np.gcd.reduce(rows.astype(np.int64), axis=1)
    return bool((divisors & (divisors - 1) == 0).all())
