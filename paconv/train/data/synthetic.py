"""The synthetic set: 4 shapes, each filled with stripes in one of 4 directions, in noise; 16 classes, 16x16 grey.

    image = (1 + 0.8 cos(2 pi (x cos t + y sin t) / period + phase)) [(x, y) in the shape] + noise

with t = 0, 45, 90 or 135 degrees and (x, y) in pixels from the shape's middle. Middle, size, period and phase are drawn
for each image, so that no pixel tells a class. The set itself is always the same; only how training images are moved
depends on the seed.
"""

from __future__ import annotations

import numpy as np

from paconv.train.data.in_memory import InMemory
from paconv.train.data.samples import CLASSIFICATION, DataSource

__all__ = ["DIRECTIONS", "SHAPES", "synthetic", "synthetic_images"]

SHAPES = ("disc", "ring", "triangle", "cross")
DIRECTIONS = (0, 45, 90, 135)
"""Degrees between the x axis and the direction in which brightness changes."""

SIDE = 16
_TRAINING, _HELD_OUT = 3000, 1000
_NOISE = 1.0


def synthetic(seed: int = 0) -> DataSource:
    """3000 images (1, 16, 16) to train on and 1000 held out, of 16 classes: shape by shape, direction by direction."""
    classes = tuple(f"{shape} {direction}" for shape in SHAPES for direction in DIRECTIONS)
    training = InMemory(*synthetic_images(_TRAINING, 0), len(classes), shift=1, seed=seed)
    held_out = InMemory(*synthetic_images(_HELD_OUT, 1), len(classes))
    return DataSource("synthetic", CLASSIFICATION, training, held_out, classes, (1, SIDE, SIDE))


def synthetic_images(count: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
    """(images (count, 1, 16, 16) float32, labels (count,) int64); another `stream`, other images."""
    draw = np.random.default_rng([16, stream])
    labels = np.arange(count) % (len(SHAPES) * len(DIRECTIONS))
    shape, direction = np.divmod(labels, len(DIRECTIONS))

    def drawn(low: float, high: float) -> np.ndarray:
        return draw.uniform(low, high, (count, 1, 1))

    middle = (SIDE - 1) / 2
    x = np.arange(SIDE)[None, None, :] - middle - drawn(-1.5, 1.5)
    y = np.arange(SIDE)[None, :, None] - middle - drawn(-1.5, 1.5)
    size, period, phase = drawn(4.5, 6), drawn(3.5, 5), drawn(0, 2 * np.pi)
    angle = np.radians(np.array(DIRECTIONS))[direction][:, None, None]
    stripes = 1 + 0.8 * np.cos(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period + phase)
    across, along, radius = np.abs(x), np.abs(y), np.hypot(x, y)
    inside = np.choose(
        shape[:, None, None],
        [
            radius < size,
            (radius < 1.15 * size) & (radius > 0.6 * size),
            (y < size) & (2 * across < y + size),
            (np.minimum(across, along) < 0.35 * size) & (np.maximum(across, along) < 1.1 * size),
        ],
    )
    images = stripes * inside + _NOISE * draw.standard_normal((count, SIDE, SIDE))
    return images[:, None].astype(np.float32), labels
