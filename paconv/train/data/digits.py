"""scikit-learn's 1797 handwritten digits, 8x8 grey, split into training and held-out images.

The images come writer by writer, so the last quarter was written by hands that training never sees. Training images
are moved by up to a pixel and noised, so that the small set isn't learnt by heart.
"""

from __future__ import annotations

import numpy as np

from paconv.train.data.in_memory import InMemory
from paconv.train.data.samples import CLASSIFICATION, DataSource

__all__ = ["digits"]

_HELD_OUT = 450


def digits(seed: int = 0) -> DataSource:
    """1347 digits (1, 8, 8) to train on and 450 held out, of about zero mean and unit variance."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = ((pixels - 5) / 6).astype(np.float32).reshape(-1, 1, 8, 8)
    training = InMemory(images[:-_HELD_OUT], labels[:-_HELD_OUT], 10, shift=1, noise=0.2, seed=seed)
    held_out = InMemory(images[-_HELD_OUT:], labels[-_HELD_OUT:], 10)
    return DataSource("digits", CLASSIFICATION, training, held_out, tuple("0123456789"), (1, 8, 8))
