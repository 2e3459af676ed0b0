"""Small grey images held in memory, moved and noised anew each epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from paconv.errors import DataError
from paconv.train.data.samples import Batch, Key, Samples

__all__ = ["InMemory", "moved"]


class InMemory(Samples):
    """Images with labels, in memory.

    Args:
        images: (S, C, H, W) float32.
        labels: (S,) int64, below `classes`.
        classes: Number of classes.
        shift: Pixels by which an image is moved at most, in each direction; drawn anew each epoch.
        noise: Standard deviation of the noise added; drawn anew each epoch.
        seed: Of both.

    Raises:
        DataError: The arrays don't fit, or a label is out of range.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, classes: int, *, shift: int = 0, noise: float = 0.0, seed: int = 0
    ):
        images, labels = np.asarray(images), np.asarray(labels)
        if images.ndim != 4 or labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise DataError(
                "expected images (S, C, H, W) and S whole labels; "
                f"found {images.shape} and {labels.shape} {labels.dtype}"
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
            raise DataError(f"expected labels from 0 to {classes - 1}; found {labels.min()} to {labels.max()}")
        self.images = images.astype(np.float32, copy=False)
        self.labels = torch.from_numpy(labels.astype(np.int64))
        self.classes = classes
        self.shift, self.noise, self.seed = shift, noise, seed
        self._epoch: int | None = None
        self._shown = self.images

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, keys: Sequence[Key]) -> Batch:
        """Images (B, C, H, W) float32 and labels (B,)."""
        shown = np.stack([self._at(epoch)[index] for epoch, index in keys])
        return torch.from_numpy(shown), self.labels[[index for _, index in keys]]

    def plain(self) -> InMemory:
        """Neither moved nor noised."""
        return InMemory(self.images, self.labels.numpy(), self.classes)

    def _at(self, epoch: int) -> np.ndarray:
        """All images as `epoch` shows them. The whole set is drawn at once, so it depends on no batch."""
        if epoch != self._epoch and (self.shift or self.noise):
            draw = np.random.default_rng([self.seed, epoch])
            self._shown = moved(self.images, self.shift, draw)
            if self.noise:
                noise = draw.standard_normal(self.images.shape, np.float32)
                self._shown = self._shown + np.float32(self.noise) * noise
            self._epoch = epoch
        return self._shown


def moved(images: np.ndarray, shift: int, draw: np.random.Generator) -> np.ndarray:
    """images (S, C, H, W), each moved by up to `shift` pixels in both directions over the darkest value there is."""
    count, channels, height, width = images.shape
    border = ((0, 0), (0, 0), (shift, shift), (shift, shift))
    padded = np.pad(images, border, constant_values=images.min())
    top, left = draw.integers(0, 2 * shift + 1, (2, count))
    rows = (top[:, None] + np.arange(height))[:, None, :, None]
    columns = (left[:, None] + np.arange(width))[:, None, None, :]
    return padded[np.arange(count)[:, None, None, None], np.arange(channels)[:, None, None], rows, columns]
