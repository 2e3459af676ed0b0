"""What the two models are fed: the user's arrays, or seeded random ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
import onnx

from paconv.errors import UsageError
from paconv.input_shape import MAX_VALUES
from paconv.onnx_file.shapes import fixed_input_shapes
from paconv.verification.model import OpenModel

__all__ = ["given_inputs", "make_inputs", "read_inputs"]


def read_inputs(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of an .npz file (never unpickled). Raises UsageError if it isn't one."""
    try:
        found = np.load(Path(path), allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise UsageError(f"{path}: expected an .npz file with an array for each input; found a single array")
        with found as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except UsageError:
        raise
    except Exception as error:  # NumPy's readers meet damaged bytes with errors of any type
        reason = " ".join(str(error).split()) or type(error).__name__
        if "allow_pickle" in reason:  # what NumPy says of any file that it doesn't know
            reason = "it is a file of another kind"
        raise UsageError(f"{path}: expected an .npz file with an array for each input: {reason}") from error


def make_inputs(
    model: OpenModel,
    given: dict[str, np.ndarray] | None,
    batch: int,
    seed: int,
    sizes: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, np.ndarray]:
    """Feeds for `model`: the given arrays, checked, or seeded random ones.

    Random floats are standard normal, numbers of 8 bits of their whole range, other integers and truth values 0 and 1.
    batch: for a free first dimension. sizes: of the other free ones, as paconv.onnx_file.shapes.parse_input_shapes
    returns them.

    Raises UsageError naming an input that is missing, unknown, not finite, of another type or shape, or whose size is
    free.
    """
    rng = np.random.default_rng(seed)
    given = dict(given or {})
    if given and sizes:
        raise UsageError("--input-shape is for random inputs; the arrays of --inputs have shapes of their own")
    if given:
        feeds = given_inputs(model.inputs, given)
    else:
        shapes = fixed_input_shapes(model.model, sizes, batch)
        feeds = {i.name: _random(i, shapes[i.name], rng) for i in model.inputs}
    empty = [name for name, array in feeds.items() if not array.size]
    if empty:
        raise UsageError(f"inputs: expected at least one sample; found an empty array for '{empty[0]}'")
    return feeds


def given_inputs(inputs: Sequence[onnx.ValueInfoProto], given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The given array of each input, in its type. One array for one input is it whatever its name.

    Raises UsageError naming an array that is missing, unknown, not finite, of another type or shape.
    """
    if len(given) == len(inputs) == 1:
        return {inputs[0].name: _checked(inputs[0], *next(iter(given.items())))}
    names = [i.name for i in inputs]
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise UsageError(f"inputs: the model has no input {', '.join(unknown)}; it has {', '.join(names)}")
    missing = next((name for name in names if name not in given), None)
    if missing is not None:
        raise UsageError(f"inputs: no array for input '{missing}'")
    return {i.name: _checked(i, i.name, given[i.name]) for i in inputs}


def _checked(info: onnx.ValueInfoProto, label: str, array: np.ndarray) -> np.ndarray:
    dims = [d.dim_value if d.HasField("dim_value") else (d.dim_param or "?") for d in info.type.tensor_type.shape.dim]
    fits = array.ndim == len(dims) and all(isinstance(d, str) or d == n for d, n in zip(dims, array.shape, strict=True))
    if not info.type.tensor_type.HasField("shape"):
        fits = True
    if not fits or not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
        of = "" if label == info.name else f" in '{label}'"
        raise UsageError(
            f"inputs: expected '{info.name}' of shape {dims}; found{of} {array.dtype} of shape {list(array.shape)}"
        )
    wrong = array.size - int(np.isfinite(array).sum())
    if wrong:
        raise UsageError(
            f"inputs: expected finite numbers for '{info.name}'; found {wrong:,} of {array.size:,} that are NaN or "
            "infinite"
        )
    dtype = _dtype(info)
    with np.errstate(invalid="ignore"):
        cast = np.ascontiguousarray(array, dtype)
    if dtype.kind in "iub" and not np.array_equal(cast, array):
        raise UsageError(f"inputs: expected numbers of {dtype} for '{info.name}'; found {array.dtype} that are none")
    return cast


def _random(info: onnx.ValueInfoProto, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    if prod(shape) > MAX_VALUES:
        sizes = "x".join(map(str, shape))
        raise UsageError(
            f"input '{info.name}': expected at most {MAX_VALUES} random values, found {sizes}; fewer samples"
        )
    dtype = _dtype(info)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    if dtype.kind not in "iub":
        raise UsageError(f"input '{info.name}' is {dtype}, not numbers; give arrays with --inputs FILE.npz")
    low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.itemsize == 1 and dtype.kind != "b" else (0, 1)
    return rng.integers(low, high, shape, np.int64, endpoint=True).astype(dtype)


def _dtype(info: onnx.ValueInfoProto) -> np.dtype:
    return onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
