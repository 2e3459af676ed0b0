"""Samples for a network's inputs, from whatever holds them.

    X.npz, X.npy      arrays by name of the input; one array whatever its name, where there is one input
    a folder          of pictures, in it and in folders below
    mnist:FOLDER      MNIST's training images (paconv.samples.mnist)
    a dict, an array  as .npz and .npy
    an iterable       of batches, each a dict, an array, or a tuple that begins with an array, as data loaders give them

Arrays of floats are what the network reads, and are taken as they are. Pictures, MNIST and arrays of bytes (uint8,
0 to 255) are scaled for a network of floats:

    value = (byte / 255 - mean) / std        mean = 0, std = 1 unless given

A picture becomes the network's size by `paconv.samples.pictures.fitted`: the shorter side resized, the middle cut out.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paconv.errors import DataError, UsageError
from paconv.samples.mnist import mnist

__all__ = ["Source", "load_samples"]

Source = str | os.PathLike | Mapping[str, np.ndarray] | np.ndarray | Iterable
"""What samples are loaded from."""

Input = tuple[str, Sequence[int | str | None], np.dtype]
"""Name, shape and dtype of an input; the batch is the first dimension, and free ones are names or None."""

_KINDS = "a folder of pictures, an .npz or .npy file, or mnist:FOLDER"


def load_samples(
    source: Source,
    inputs: Sequence[Input],
    *,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    size: int | tuple[int, int] | None = None,
    count: int = 512,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Samples for each input of a network, checked: shapes and types fit, and all of it is finite.

    Args:
        source: See above.
        inputs: Name, shape with the batch first, and dtype of each input of the network.
        mean: One value, or one a channel, for bytes as fractions of 255.
        std: The same, above 0.
        size: Of pictures, (height, width) or a side of a square, where the network leaves it free.
        count: The most samples there are to be.
        seed: Which of more are taken; those are in the order of the source. Of an iterable, the first are.

    Returns:
        Name of input -> (S, ...), in the input's dtype, with the same S >= 1 for each.

    Raises:
        DataError: Nothing is there, it can't be read, or it doesn't fit.
        UsageError: An option is invalid or has no meaning for this source.
    """
    if type(count) is not int or count < 1:
        raise UsageError(f"expected at least 1 sample to be asked for, found {count!r}")
    if not inputs:
        raise DataError("the network has no inputs, so no samples fit it")
    scaling = _Scaling(_channel_values("mean", mean), _channel_values("std", std))
    if isinstance(source, (str, os.PathLike)):
        text = os.fspath(source)
        if text.startswith("mnist:"):
            return _mnist(text[len("mnist:") :], inputs, scaling, size, count, seed)
        path = Path(text)
        if path.is_dir():
            return _pictures(path, inputs, scaling, size, count, seed)
        arrays, where = _arrays_of_file(path, inputs), text
    elif isinstance(source, Mapping):
        arrays, where = _by_name({name: np.asarray(value) for name, value in source.items()}, inputs, "data"), "data"
    elif hasattr(source, "__array__"):
        arrays, where = _by_name({"": np.asarray(source)}, inputs, "data"), "data"
    elif isinstance(source, Iterable):
        arrays, where = _by_name(_joined(source, count), inputs, "data"), "data"
    else:
        raise UsageError(f"data: expected {_KINDS}, arrays or batches; found {type(source).__name__}")
    if size is not None:
        raise UsageError(f"{where}: a size is for pictures; the arrays have theirs")
    checked = {name: _checked(arrays[name], (name, shape, dtype), scaling, where) for name, shape, dtype in inputs}
    scaling.check_used(where)
    counts = {name: len(values) for name, values in checked.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"{where}: expected as many samples for each input, found {_listed(counts)}")
    chosen = _chosen(next(iter(counts.values())), count, seed, where)
    finished = {}
    for name, _, dtype in inputs:
        values = scaling(checked[name][chosen], np.dtype(dtype))
        _check_finite(values, name, where, chosen)
        finished[name] = values
    return finished


def _channel_values(option: str, given: float | Sequence[float] | None) -> np.ndarray | None:
    if given is None:
        return None
    values = np.atleast_1d(np.asarray(given, np.float64))
    if (
        values.ndim != 1
        or not len(values)
        or not np.isfinite(values).all()
        or (option == "std" and (values <= 0).any())
    ):
        raise UsageError(f"{option}: expected a value for all channels or one a channel, found {given!r}")
    return values


@dataclass
class _Scaling:
    """From bytes (S, C, H, W), or (S, H, W, C), to what a network reads."""

    mean: np.ndarray | None
    std: np.ndarray | None
    axis: int | None = None
    """Of channels; None as long as there are no bytes to scale."""

    def for_bytes(self, name: str, shape: tuple[int, ...]) -> None:
        """Remember that bytes of this shape are to be scaled. Raises UsageError if mean or std don't fit them."""
        self.axis = -1 if len(shape) == 4 and shape[1] not in (1, 3) and shape[3] in (1, 3) else 1
        channels = shape[self.axis] if len(shape) > 1 else 1
        for option, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, channels):
                raise UsageError(
                    f"{option}: expected 1 value or {channels}, for the channels of input {name}, found {len(values)}"
                )

    def check_used(self, where: str) -> None:
        """Raise UsageError if mean or std were given for nothing."""
        if self.axis is None and not (self.mean is None and self.std is None):
            raise UsageError(
                f"{where}: mean and std are for bytes (uint8) that a network of floats reads; these values are taken "
                "as they are, so leave mean and std out"
            )

    def __call__(self, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
        if values.dtype != np.uint8 or dtype.kind != "f":
            with np.errstate(over="ignore"):
                return np.ascontiguousarray(values, dtype)
        mean, std = (np.float64(default) if v is None else self._along(v, values.ndim)
                     for v, default in ((self.mean, 0), (self.std, 1)))  # fmt: skip
        scale, offset = 1 / (255 * std), -mean / std
        return np.asarray(values * scale.astype(dtype) + offset.astype(dtype), dtype)

    def _along(self, values: np.ndarray, ndim: int) -> np.ndarray:
        return values if self.axis == -1 or len(values) == 1 else values.reshape(-1, *[1] * (ndim - 2))


def _chosen(found: int, count: int, seed: int, where: str) -> np.ndarray:
    """Indices of at most `count` of the `found` samples, rising."""
    if not found:
        raise DataError(f"{where}: expected at least 1 sample, found none")
    return np.sort(np.random.default_rng(seed).permutation(found)[:count])


# Arrays


def _arrays_of_file(path: Path, inputs: Sequence[Input]) -> dict[str, np.ndarray]:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected {_KINDS}")
    if path.suffix.lower() not in (".npz", ".npy"):
        raise DataError(f"{path}: expected {_KINDS}, found a file of another kind")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return _by_name({"": loaded}, inputs, str(path))
            names = _names(loaded.files, inputs, str(path))
            return {name: loaded[stored] for name, stored in names.items()}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as NumPy's arrays: {error}; save it again with np.savez") from error


def _by_name(arrays: Mapping[str, np.ndarray], inputs: Sequence[Input], where: str) -> dict[str, np.ndarray]:
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


def _joined(batches: Iterable, count: int) -> dict[str, np.ndarray]:
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


def _checked(array: np.ndarray, wanted: Input, scaling: _Scaling, where: str) -> np.ndarray:
    """The array, if samples of it fit the input."""
    name, shape, dtype = wanted[0], tuple(wanted[1]), np.dtype(wanted[2])
    text = _shape_text(shape)
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


def _shape_text(shape: Sequence[int | str | None]) -> str:
    sizes = [str(size) if isinstance(size, int) else "any" for size in shape[1:]]
    return f"({', '.join(['S', *sizes])})" if sizes else "(S,)"


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


# Pictures


@dataclass(frozen=True)
class _Frame:
    """What the only input of a network of pictures takes."""

    name: str
    channels: int
    height: int
    width: int
    channels_last: bool
    dtype: np.dtype

    @property
    def mode(self) -> str:
        """Pillow's name of the colors."""
        return "L" if self.channels == 1 else "RGB"

    def values(self, pictures: np.ndarray, scaling: _Scaling, where: str) -> dict[str, np.ndarray]:
        """Bytes (S, H, W, C) as the network reads them."""
        laid = pictures if self.channels_last else np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))
        if self.dtype.kind == "f":
            scaling.for_bytes(self.name, laid.shape)
        scaling.check_used(where)
        return {self.name: scaling(laid, self.dtype)}


def _frame(
    inputs: Sequence[Input], size: int | tuple[int, int] | None, where: str, default: tuple[int, int] | None = None
) -> _Frame:
    """Raises DataError if pictures don't fit the network, UsageError if the size isn't known or another one's."""
    if len(inputs) > 1:
        names = ", ".join(name for name, _, _ in inputs)
        raise DataError(f"{where}: pictures fill one input, the network has {len(inputs)} ({names}); give an .npz file")
    name, shape, dtype = inputs[0][0], tuple(inputs[0][1]), np.dtype(inputs[0][2])
    if len(shape) != 4 or not (shape[1] in (1, 3) or shape[3] in (1, 3)):
        raise DataError(
            f"{where}: expected a network that reads 1 or 3 channels of a picture, found input {name} of "
            f"{_shape_text(shape)}; give an .npz file"
        )
    if dtype.kind != "f" and dtype != np.uint8:
        raise DataError(f"{where}: expected a network that reads floats or bytes, found input {name} of {dtype.name}")
    last = shape[1] not in (1, 3)
    rows, columns = shape[1:3] if last else shape[2:]
    given = (size, size) if isinstance(size, int) else size
    sizes = []
    for axis, (own, asked) in enumerate(zip((rows, columns), given or (None, None), strict=True)):
        if isinstance(own, int) and asked not in (None, own):
            raise UsageError(f"size: input {name} takes pictures of {rows}x{columns} (height x width), found {asked}")
        known = own if isinstance(own, int) else asked or (default[axis] if default else None)
        if known is None or known < 1:
            raise UsageError(f"{where}: input {name} takes pictures of any size; give a size of at least 1 (--size)")
        sizes.append(known)
    channels = shape[3] if last else shape[1]
    assert isinstance(channels, int)
    return _Frame(name, channels, *sizes, last, dtype)


def _pictures(
    folder: Path, inputs: Sequence[Input], scaling: _Scaling, size: int | tuple[int, int] | None, count: int, seed: int
) -> dict[str, np.ndarray]:
    from paconv.samples.pictures import SUFFIXES, fitted, pictures_below, read_picture

    frame = _frame(inputs, size, str(folder))
    files = pictures_below(folder)
    if not files:
        raise DataError(f"{folder}: expected pictures ({', '.join(SUFFIXES)}) in it or below, found none")
    files = [files[index] for index in _chosen(len(files), count, seed, str(folder))]
    read = np.empty((len(files), frame.height, frame.width, frame.channels), np.uint8)
    for index, path in enumerate(files):
        picture = fitted(read_picture(path, frame.mode), frame.height, frame.width)
        read[index] = np.asarray(picture).reshape(read.shape[1:])
    return frame.values(read, scaling, str(folder))


def _mnist(
    folder: str, inputs: Sequence[Input], scaling: _Scaling, size: int | tuple[int, int] | None, count: int, seed: int
) -> dict[str, np.ndarray]:
    where = f"mnist:{folder}"
    frame = _frame(inputs, size, where, default=(28, 28))
    images, _ = mnist(folder)
    images = images[_chosen(len(images), count, seed, where)]
    if images.shape[1:] != (frame.height, frame.width):
        from PIL import Image

        from paconv.samples.pictures import fitted

        images = np.stack([np.asarray(fitted(Image.fromarray(each), frame.height, frame.width)) for each in images])
    return frame.values(np.repeat(images[..., None], frame.channels, -1), scaling, where)
