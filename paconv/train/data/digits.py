"""The handwritten digits (paconv.digits_images). Training images are moved by up to a pixel and noised, so that the
small set isn't learnt by heart.
"""

from __future__ import annotations

from paconv.digits_images import INPUT_SHAPE, held_out_digits, training_digits
from paconv.train.data.in_memory import InMemory
from paconv.train.data.samples import CLASSIFICATION, DataSource

__all__ = ["digits"]


def digits(seed: int = 0) -> DataSource:
    """1347 digits (1, 8, 8) to train on and 450 held out."""
    training = InMemory(*training_digits(), 10, shift=1, noise=0.2, seed=seed)
    held_out = InMemory(*held_out_digits(), 10)
    return DataSource("digits", CLASSIFICATION, training, held_out, tuple("0123456789"), INPUT_SHAPE)
