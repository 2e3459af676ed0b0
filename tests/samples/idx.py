"""MNIST's files in small."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

__all__ = ["idx", "mnist_folder"]


def idx(values: np.ndarray) -> bytes:
    """An IDX file of bytes."""
    return struct.pack(f">{values.ndim + 1}I", 2048 + values.ndim, *values.shape) + values.tobytes()


def mnist_folder(path: Path, training: int = 12, held_out: int = 5, packed: bool = False) -> Path:
    """A folder with the four files, random images in them, labels 0, 1, ..., 9, 0, ..."""
    path.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    for prefix, count in (("train", training), ("t10k", held_out)):
        images = draw.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            data = idx(values)
            file = path / f"{prefix}-{name}-ubyte{'.gz' if packed else ''}"
            file.write_bytes(gzip.compress(data) if packed else data)
    return path
