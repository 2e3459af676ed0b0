"""Arrays as samples: found by the names of a network's inputs, and checked against what these take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from paconv.errors import DataError
from paconv.samples.inputs import KINDS, Input, chosen, shape_text
from paconv.samples.scaling import Scaling

__all__ = ["arrays_of_file", "by_name", "fitting", "joined"]


def fitting(
    arrays: Mapping[str, np.ndarray], inputs: Sequence[Input], scaling: Scaling, count: int, seed: int, where: str
) -> dict[str, np.ndarray]:
    """At most `count` samples of the arrays (by name of input) as the network reads them.

    Raises DataError where one doesn't fit its input or isn't finite, UsageError where there is nothing for mean or std.
    """
    checked = {name: _checked(arrays[name], (name, shape, dtype), scaling, where) for name, shape, dtype in inputs}
    scaling.check_used(where)
    counts = {name: len(values) for name, values in checked.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"{where}: expected as many samples for each input, found {_listed(counts)}")
    taken = chosen(next(iter(counts.values())), count, seed, where)
    finished = {}
    for name, _, dtype in inputs:
        values = scaling(checked[name][taken], np.dtype(dtype))
        _check_finite(values, name, where, taken)
        finished[name] = values
    return finished


def arrays_of_file(path: Path, inputs: Sequence[Input]) -> dict[str, np.ndarray]:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected {KINDS}")
    if path.suffix.lower() not in (".npz", ".npy"):
        raise DataError(f"{path}: expected {KINDS}, found a file of another kind")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return by_name({"": loaded}, inputs, str(path))
            names = _names(loaded.files, inputs, str(path))
            return {name: loaded[stored] for name, stored in names.items()}
    except DataError:
        raise
    except Exception as error:  # NumPy's readers meet damaged bytes with errors of any type
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read as NumPy's arrays: {reason}; save it again with np.savez") from error


def by_name(arrays: Mapping[str, np.ndarray], inputs: Sequence[Input], where: str) -> dict[str, np.ndarray]:
    return {name: arrays[stored] for name, stored in _names(list(arrays), inputs, where).items()}


def _names(found: Sequence[str], inputs: Sequence[Input], where: str) -> dict[str, str]:
    """Name of each input -> name of its array."""
    wanted = [name for name, _, _ in inputs]
    if len(wanted) == len(found) == 1:
        return {wanted[0]: found[0]}
    missing = [name for name in wanted if name not in found]
    if missing:
        listed = ", ".join(name or "one without a name" for name in found) or "none"
        example = ", ".join(f"{name}=..." if name.isidentifier() else f"**{{{name!r}: ...}}" for name in wanted)
        raise DataError(
            f"{where}: expected arrays named {', '.join(wanted)}, found {listed}; "
            f"save them with np.savez(FILE, {example})"
        )
    return {name: name for name in wanted}


def joined(batches: Iterable, count: int) -> dict[str, np.ndarray]:
    """The first `count` samples of an iterable of batches."""
    parts: dict[str, list[np.ndarray]] = {}
    taken = 0
    for batch in batches:
        first = batch[0] if isinstance(batch, (tuple, list)) and len(batch) else batch
        arrays = first if isinstance(first, Mapping) else {"": first}
        arrays = {name: np.asarray(value) for name, value in arrays.items()}
        if parts and arrays.keys() != parts.keys():
            raise DataError(f"data: expected the same inputs in each batch, found {_some(arrays)} after {_some(parts)}")
        for name, array in arrays.items():
            if not array.ndim:
                raise DataError(f"data: expected batches of arrays with the samples first, found {first!r}")
            parts.setdefault(name, []).append(array[: count - taken])
        taken += len(next(iter(arrays.values())))
        if taken >= count:
            break
    if not parts:
        raise DataError("data: expected at least 1 batch, found none")
    try:
        return {name: np.concatenate(arrays) for name, arrays in parts.items()}
    except ValueError as error:
        raise DataError(f"data: expected batches of samples of one shape: {error}") from error


def _some(names: Iterable[str]) -> str:
    return ", ".join(name or "an array" for name in names)


def _checked(array: np.ndarray, wanted: Input, scaling: Scaling, where: str) -> np.ndarray:
    """The array, if samples of it fit the input."""
    name, shape, dtype = wanted[0], tuple(wanted[1]), np.dtype(wanted[2])
    text = shape_text(shape)
    if array.ndim == 1 and array.dtype.kind in "iu" and len(shape) > 1:
        raise DataError(
            f"{where}: expected samples {text} for input {name}, found {len(array)} whole numbers of type "
            f"{array.dtype}, which look like labels; no labels are needed: give the images"
        )
    fits = array.ndim == len(shape) and all(
        not isinstance(want, int) or want == have for want, have in zip(shape[1:], array.shape[1:], strict=False)
    )
    if not fits:
        advice = _advice(array.shape, shape)
        raise DataError(f"{where}: expected samples {text} for input {name}, found {array.shape}{advice}")
    if dtype.kind == "f" and array.dtype == np.uint8 and array.ndim > 2:
        scaling.for_bytes(name, array.shape)
    elif not (array.dtype.kind == "f" if dtype.kind == "f" else np.can_cast(array.dtype, dtype, "same_kind")):
        advice = "give floats as the network reads them, or bytes (uint8) from 0 to 255" if dtype.kind == "f" else (
            f"convert it with .astype({dtype.name!r})"
        )  # fmt: skip
        raise DataError(f"{where}: expected {dtype.name} values for input {name}, found {array.dtype}; {advice}")
    return array


def _advice(found: tuple[int, ...], wanted: tuple[int | str | None, ...]) -> str:
    def fits(shape: tuple[int, ...]) -> bool:
        sizes = zip(wanted[1:], shape[1:], strict=False)
        return len(shape) == len(wanted) and all(not isinstance(want, int) or want == have for want, have in sizes)

    if len(found) == 4 and fits((found[0], found[3], found[1], found[2])):
        return "; the channels are last there: give array.transpose(0, 3, 1, 2)"
    if fits((1, *found)):
        return "; it is a single sample: give array[None]"
    if len(found) == len(wanted) - 1 and fits((found[0], 1, *found[1:])):
        return "; it has no axis of channels: give array[:, None]"
    return ""


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of {name}" for name, count in counts.items())


def _check_finite(values: np.ndarray, name: str, where: str, chosen: np.ndarray) -> None:
    if values.dtype.kind != "f":
        return
    bad = ~np.isfinite(values).reshape(len(values), -1).all(1)
    if bad.any():
        raise DataError(
            f"{where}: expected finite values for input {name}, found NaN or infinity in {bad.sum()} of {len(values)} "
            f"samples, the first of them sample {chosen[bad.argmax()]}; mend or leave them out"
        )
