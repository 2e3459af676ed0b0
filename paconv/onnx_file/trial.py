"""A model run in onnxruntime on random inputs, to see that it runs at all and that a rewritten one says the same."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from paconv.errors import ModelError

__all__ = ["RunError", "agree", "random_inputs", "run", "session"]

TOLERANCE = 2.0**-10
"""Of the largest magnitude of an output. Rewriting exchanges a few operations for others of the same mathematics, which
differ in the last of 24 bits; the layers behind may amplify that. What is rewritten wrongly differs by the size of the
values themselves. The tolerance lies between, 14 bits above a rounding.
"""

_FLOOR = 2.0**-20
"""Besides, 16 roundings of a 1: a probability that is nearly 0 is computed from what is of that size."""

_REFUSALS = (
    ort_errors.EPFail, ort_errors.Fail, ort_errors.InvalidArgument, ort_errors.InvalidGraph, ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented, ort_errors.RuntimeException,
)  # fmt: skip


class RunError(ModelError):
    """onnxruntime doesn't run the model on these inputs."""


def session(
    model: str | os.PathLike | onnx.ModelProto,
    where: str,
    level: ort.GraphOptimizationLevel = ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
) -> ort.InferenceSession:
    """A quiet session of a model or file on the CPU. Raises ModelError if there can't be one."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = level
    try:
        source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else os.fspath(model)
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except _REFUSALS as error:
        raise ModelError(f"{where}: onnxruntime {ort.__version__} doesn't load it: {_line(error)}") from error


def run(opened: ort.InferenceSession, inputs: Mapping[str, np.ndarray], where: str) -> list[np.ndarray]:
    """The outputs. Raises RunError if onnxruntime refuses these inputs."""
    options = ort.RunOptions()
    options.log_severity_level = 4
    try:
        return [np.asarray(value) for value in opened.run(None, dict(inputs), options)]
    except _REFUSALS as error:
        raise RunError(f"{where}: onnxruntime doesn't run it: {_line(error)}") from error


def random_inputs(
    inputs: Sequence[onnx.ValueInfoProto], shapes: Mapping[str, Sequence[int]], draw: np.random.Generator
) -> dict[str, np.ndarray]:
    """Values for the inputs: floats uniform in [0, 1), as pictures are; 0 and 1 for whole numbers and truth values."""
    values = {}
    for each in inputs:
        dtype = helper.tensor_dtype_to_np_dtype(each.type.tensor_type.elem_type)
        shape = tuple(shapes[each.name])
        values[each.name] = draw.random(shape).astype(dtype) if dtype.kind == "f" else draw.integers(0, 2, shape, dtype)
    return values


def agree(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether two outputs are the same: shape and type, whole numbers exactly, floats within TOLERANCE and _FLOOR."""
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return False
    if found.dtype.kind != "f" or not found.size:
        return bool(np.array_equal(found, wanted))
    finite = np.isfinite(wanted)
    if not np.array_equal(found[~finite], wanted[~finite], equal_nan=True):
        return False
    wanted, found = wanted[finite].astype(np.float64), found[finite].astype(np.float64)
    return not wanted.size or bool(np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max() + _FLOOR)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
