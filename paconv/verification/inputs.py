"""What the two models are fed: the user's arrays, or seeded random ones."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path

import numpy as np
import onnx

from paconv.errors import UsageError
from paconv.input_shape import MAX_VALUES
from paconv.verification.model import OpenModel

__all__ = ["make_inputs", "read_inputs"]


def read_inputs(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of an .npz file (never unpickled). Raises UsageError if it isn't one."""
    try:
        with np.load(Path(path), allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise UsageError(f"{path}: expected an .npz file with an array for each input; found a single array")
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except UsageError:
        raise
    except Exception as error:  # NumPy's readers meet damaged bytes with errors of any type
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{path}: expected an .npz file with an array for each input: {reason}") from error


def make_inputs(model: OpenModel, given: dict[str, np.ndarray] | None, batch: int, seed: int) -> dict[str, np.ndarray]:
    """Feeds for `model`: the given arrays, checked, or standard normal ones with `batch` for a free first dimension.

    Raises UsageError naming an input that is missing, unknown, of another type or shape, or whose size is free.
    """
    rng = np.random.default_rng(seed)
    given = dict(given or {})
    if len(given) == 1 and len(model.inputs) == 1:  # one array for one input: its name in the file doesn't matter
        given = {model.inputs[0].name: next(iter(given.values()))}
    unknown = sorted(set(given) - {i.name for i in model.inputs})
    if unknown:
        raise UsageError(f"inputs: the model has no input {', '.join(unknown)}; it has {_names(model)}")
    feeds = {i.name: _feed(i, given, batch, rng) for i in model.inputs}
    empty = [name for name, array in feeds.items() if not array.size]
    if empty:
        raise UsageError(f"inputs: expected at least one sample; found an empty array for '{empty[0]}'")
    return feeds


def _names(model: OpenModel) -> str:
    return ", ".join(i.name for i in model.inputs)


def _feed(info: onnx.ValueInfoProto, given: dict, batch: int, rng: np.random.Generator) -> np.ndarray:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
    dims = [d.dim_value if d.HasField("dim_value") else (d.dim_param or "?") for d in info.type.tensor_type.shape.dim]
    if info.name in given:
        array = given[info.name]
        fits = array.ndim == len(dims) and all(
            isinstance(d, str) or d == n for d, n in zip(dims, array.shape, strict=True)
        )
        if not fits or not np.issubdtype(array.dtype, np.number):
            raise UsageError(f"inputs: expected '{info.name}' of shape {dims}; found {array.dtype} {list(array.shape)}")
        return np.ascontiguousarray(array, dtype)
    if given:
        raise UsageError(f"inputs: no array for input '{info.name}'")
    if dims and isinstance(dims[0], str):
        dims[0] = batch
    free = [d for d in dims if isinstance(d, str)]
    if free:
        raise UsageError(f"input '{info.name}' has free sizes {free}; give arrays with --inputs FILE.npz")
    if not np.issubdtype(dtype, np.floating):
        raise UsageError(f"input '{info.name}' is {dtype}, not random numbers; give arrays with --inputs FILE.npz")
    if prod(map(int, dims)) > MAX_VALUES:
        sizes = "x".join(map(str, dims))
        raise UsageError(
            f"input '{info.name}': expected at most {MAX_VALUES} random values, found {sizes}; fewer samples"
        )
    return rng.standard_normal([int(d) for d in dims]).astype(dtype)
