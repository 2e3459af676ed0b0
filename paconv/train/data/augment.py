"""ImageNet's usual augmentation (Szegedy et al. 2015; He et al. 2016), on Pillow images.

training    a part of 8 to 100 % of the area and of aspect 3/4 to 4/3, resized to a square; mirrored at random
evaluation  the shorter side resized to 256/224 of the square, and the middle of that
"""

from __future__ import annotations

from math import log, sqrt

import numpy as np
from PIL import Image

__all__ = ["center_crop", "random_resized_crop"]

AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
_ATTEMPTS = 10


def random_resized_crop(image: Image.Image, size: int, draw: np.random.Generator) -> Image.Image:
    """A random part of `image` as size x size, mirrored half of the time."""
    left, top, width, height = _random_part(*image.size, draw)
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if draw.random() < 0.5 else image


def center_crop(image: Image.Image, size: int) -> Image.Image:
    """The middle of `image` as size x size, 224/256 of its shorter side."""
    side = min(image.size) * 224 / 256
    left, top = ((length - side) / 2 for length in image.size)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


def _random_part(width: int, height: int, draw: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, width and height in pixels. Where none of 10 draws fits, the largest middle part of such an aspect."""
    for _ in range(_ATTEMPTS):
        area = width * height * draw.uniform(*AREA)
        aspect = np.exp(draw.uniform(log(ASPECT[0]), log(ASPECT[1])))
        w, h = round(sqrt(area * aspect)), round(sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(draw.integers(width - w + 1)), int(draw.integers(height - h + 1)), w, h
    w = max(1, min(width, round(height * ASPECT[1])))
    h = max(1, min(height, round(width / ASPECT[0])))
    return (width - w) // 2, (height - h) // 2, w, h
