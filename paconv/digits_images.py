"""scikit-learn's 1797 handwritten digits as arrays, split into training and held-out images. Needs no torch.

The images come writer by writer, so the last quarter was written by hands that training never sees.
"""

from __future__ import annotations

import numpy as np

__all__ = ["INPUT_SHAPE", "held_out_digits", "training_digits"]

INPUT_SHAPE = (1, 8, 8)

_HELD_OUT = 450


def training_digits() -> tuple[np.ndarray, np.ndarray]:
    """(images (1347, 1, 8, 8) float32, labels (1347,) int64)."""
    images, labels = _digits()
    return images[:-_HELD_OUT], labels[:-_HELD_OUT]


def held_out_digits() -> tuple[np.ndarray, np.ndarray]:
    """(images (450, 1, 8, 8) float32, labels (450,) int64)."""
    images, labels = _digits()
    return images[-_HELD_OUT:], labels[-_HELD_OUT:]


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Grey values 0..16 as float32 of about zero mean and unit variance."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = ((pixels - 5) / 6).astype(np.float32).reshape(-1, *INPUT_SHAPE)
    return images, labels.astype(np.int64)
