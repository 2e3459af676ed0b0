"""What a network's inputs take, in words for messages, and which of many samples are taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paconv.errors import DataError

__all__ = ["Input", "KINDS", "chosen", "shape_text"]

Input = tuple[str, Sequence[int | str | None], np.dtype]
"""Name, shape and dtype of an input; the batch is the first dimension, and free ones are names or None."""

KINDS = "a folder of pictures, an .npz or .npy file, or mnist:FOLDER"
"""What samples are loaded from, for messages."""


def chosen(found: int, count: int, seed: int, where: str) -> np.ndarray:
    """Indices of at most `count` of the `found` samples, rising."""
    if not found:
        raise DataError(f"{where}: expected at least 1 sample, found none")
    return np.sort(np.random.default_rng(seed).permutation(found)[:count])


def shape_text(shape: Sequence[int | str | None]) -> str:
    sizes = [str(size) if isinstance(size, int) else "any" for size in shape[1:]]
    return f"({', '.join(['S', *sizes])})" if sizes else "(S,)"
