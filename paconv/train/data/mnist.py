"""MNIST's handwritten digits, from a folder with its files (paconv.samples.mnist)."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from paconv.samples.mnist import mnist
from paconv.samples.pictures import fitted
from paconv.train.data.in_memory import InMemory
from paconv.train.data.samples import CLASSIFICATION, DataSource

__all__ = ["mnist_source"]

SIZE = 28
"""Side of the images as published."""


def mnist_source(folder: str | os.PathLike, seed: int = 0, size: int = SIZE) -> DataSource:
    """60000 digits (1, size, size) to train on, moved by up to a 14th of their side, and 10000 held out.

    Grey from 0 to 1, as `paconv.samples.loading` gives it unless a mean is given. Raises DataError where a file is
    missing or damaged.
    """
    parts = []
    for split in ("train", "test"):
        images, labels = mnist(folder, split)
        if size != SIZE:
            images = np.stack([np.asarray(fitted(Image.fromarray(each), size, size)) for each in images])
        parts.append((images[:, None].astype(np.float32) / np.float32(255), labels))
    training = InMemory(*parts[0], 10, shift=size // 14, seed=seed)
    held_out = InMemory(*parts[1], 10)
    return DataSource(f"mnist:{folder}", CLASSIFICATION, training, held_out, tuple("0123456789"), (1, size, size))
