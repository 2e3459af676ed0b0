"""The handwritten digits (paconv.digits_images).

Training images are moved by up to a pixel and noised, so that the small set isn't memorized.
"""

from __future__ import annotations

import numpy as np

from paconv.digits_images import INPUT_SHAPE, held_out_digits, training_digits
from paconv.train.data.in_memory import InMemory
from paconv.train.data.samples import CLASSIFICATION, DataSource

__all__ = ["digits"]


def digits(seed: int = 0, noise: float = 0.0) -> DataSource:
    """1347 digits (1, 8, 8) to train on and 450 held out.

    noise: standard deviation of Gaussian noise in the images themselves, always the same, held out ones too (their own
    is about 1): without it nearly every network tells all digits apart.
    """
    parts = []
    for stream, (images, labels) in enumerate((training_digits(), held_out_digits())):
        drawn = np.random.default_rng([8, stream]).standard_normal(images.shape, np.float32)
        parts.append((images + np.float32(noise) * drawn, labels))
    training = InMemory(*parts[0], 10, shift=1, noise=0.2, seed=seed)
    name = f"digits:{noise:g}" if noise else "digits"
    return DataSource(name, CLASSIFICATION, training, InMemory(*parts[1], 10), tuple("0123456789"), INPUT_SHAPE)
