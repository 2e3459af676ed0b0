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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from paconv.errors import DataError, UsageError
from paconv.samples.arrays import arrays_of_file, by_name, fitting, joined
from paconv.samples.frame import frame
from paconv.samples.inputs import KINDS, Input, chosen
from paconv.samples.mnist import mnist
from paconv.samples.scaling import Scaling, scaling

__all__ = ["Source", "load_samples"]

Source = str | os.PathLike | Mapping[str, np.ndarray] | np.ndarray | Iterable
"""What samples are loaded from."""


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
        mean: One value, or one a channel, for bytes as fractions of 255: from 0 to 1.
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
    scaled = scaling(mean, std)
    if isinstance(source, (str, os.PathLike)):
        text = os.fspath(source)
        if text.startswith("mnist:"):
            return _mnist(text[len("mnist:") :], inputs, scaled, size, count, seed)
        path = Path(text)
        if path.is_dir():
            return _pictures(path, inputs, scaled, size, count, seed)
        arrays, where = arrays_of_file(path, inputs), text
    elif isinstance(source, Mapping):
        arrays, where = by_name({name: np.asarray(value) for name, value in source.items()}, inputs, "data"), "data"
    elif hasattr(source, "__array__"):
        arrays, where = by_name({"": np.asarray(source)}, inputs, "data"), "data"
    elif isinstance(source, Iterable):
        arrays, where = by_name(joined(source, count), inputs, "data"), "data"
    else:
        raise UsageError(f"data: expected {KINDS}, arrays or batches; found {type(source).__name__}")
    if size is not None:
        raise UsageError(f"{where}: a size is for pictures; the arrays have theirs")
    return fitting(arrays, inputs, scaled, count, seed, where)


def _pictures(
    folder: Path, inputs: Sequence[Input], scaled: Scaling, size: int | tuple[int, int] | None, count: int, seed: int
) -> dict[str, np.ndarray]:
    from paconv.samples.pictures import SUFFIXES, fitted, pictures_below, read_picture

    wanted = frame(inputs, size, str(folder))
    files = pictures_below(folder)
    if not files:
        raise DataError(f"{folder}: expected pictures ({', '.join(SUFFIXES)}) in it or below, found none")
    files = [files[index] for index in chosen(len(files), count, seed, str(folder))]
    read = np.empty((len(files), wanted.height, wanted.width, wanted.channels), np.uint8)
    for index, path in enumerate(files):
        picture = fitted(read_picture(path, wanted.mode), wanted.height, wanted.width)
        read[index] = np.asarray(picture).reshape(read.shape[1:])
    return wanted.values(read, scaled, str(folder))


def _mnist(
    folder: str, inputs: Sequence[Input], scaled: Scaling, size: int | tuple[int, int] | None, count: int, seed: int
) -> dict[str, np.ndarray]:
    where = f"mnist:{folder}"
    wanted = frame(inputs, size, where, default=(28, 28))
    images, _ = mnist(folder)
    images = images[chosen(len(images), count, seed, where)]
    if images.shape[1:] != (wanted.height, wanted.width):
        from PIL import Image

        from paconv.samples.pictures import fitted

        images = np.stack([np.asarray(fitted(Image.fromarray(each), wanted.height, wanted.width)) for each in images])
    return wanted.values(np.repeat(images[..., None], wanted.channels, -1), scaled, where)
