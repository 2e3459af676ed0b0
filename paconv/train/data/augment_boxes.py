"""SSD's augmentation of images with boxes (Liu et al. 2016, sections 2.2 and 3.6), on Pillow images.

In turn, each drawn at random: brightness, contrast and saturation; the image on a canvas up to 4 times its size, filled
with the mean color; a patch of it, of aspect 1/2 to 2 and at least 0.3 of each side, that overlaps some object by a
given least IoU; the mirror image. A box stays if its middle lies in the patch, cut to it. Then a square of the
network's size, whatever the aspect was.

boxes: (T, 4) float32 corners (x1, y1, x2, y2) relative to the image.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageEnhance

from paconv.train.data.images import MEAN

__all__ = ["augmented", "cut", "expanded", "flipped", "random_patch", "resized"]

_OVERLAPS = (None, 0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
"""What is asked of a patch: None, to be the whole image; else the least IoU with an object."""

_ATTEMPTS = 50
_STRENGTH = (0.5, 1.5)
_LARGEST_CANVAS = 4.0


def augmented(
    image: Image.Image, boxes: np.ndarray, size: int, draw: np.random.Generator
) -> tuple[Image.Image, np.ndarray, np.ndarray]:
    """The image as size x size, the boxes that are left, and their places (T',) in `boxes`."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        if draw.random() < 0.5:
            image = enhance(image).enhance(draw.uniform(*_STRENGTH))
    if draw.random() < 0.5:
        image, boxes = expanded(image, boxes, draw)
    kept = np.arange(len(boxes))
    if (patch := random_patch(image.size, boxes, draw)) is not None:
        boxes, kept = cut(boxes, patch)
        width, height = image.size
        image = image.resize((size, size), Image.Resampling.BILINEAR, box=tuple(patch * [width, height, width, height]))
    else:
        image = resized(image, size)
    if draw.random() < 0.5:
        image, boxes = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), flipped(boxes)
    return image, boxes, kept


def resized(image: Image.Image, size: int) -> Image.Image:
    """The whole image as size x size; boxes relative to it stay what they are."""
    return image.resize((size, size), Image.Resampling.BILINEAR)


def expanded(image: Image.Image, boxes: np.ndarray, draw: np.random.Generator) -> tuple[Image.Image, np.ndarray]:
    """The image somewhere on a larger canvas."""
    width, height = image.size
    ratio = draw.uniform(1, _LARGEST_CANVAS)
    canvas = Image.new("RGB", (round(width * ratio), round(height * ratio)), tuple(round(255 * c) for c in MEAN))
    left, top = (int(draw.integers(whole - part + 1)) for whole, part in zip(canvas.size, image.size, strict=True))
    canvas.paste(image, (left, top))
    moved = boxes * [width, height, width, height] + [left, top, left, top]
    return canvas, (moved / [*canvas.size, *canvas.size]).astype(np.float32)


def random_patch(size: tuple[int, int], boxes: np.ndarray, draw: np.random.Generator) -> np.ndarray | None:
    """Corners (4,) of a patch, relative to an image of `size` pixels, with the middle of a box at least in it.

    None for the whole image, also where there is no box or no patch was found.
    """
    least = _OVERLAPS[draw.integers(len(_OVERLAPS))]
    if least is None or not len(boxes):
        return None
    for _ in range(_ATTEMPTS):
        width, height = draw.uniform(0.3, 1, 2)
        if not 0.5 <= width * size[0] / (height * size[1]) <= 2:
            continue
        left, top = draw.uniform(0, 1 - width), draw.uniform(0, 1 - height)
        patch = np.array([left, top, left + width, top + height])
        if _overlap(patch, boxes).max() >= least and len(cut(boxes, patch)[1]):
            return patch
    return None


def cut(boxes: np.ndarray, patch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The boxes whose middle is in the patch, cut to it and relative to it, and their places in `boxes`."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    kept = np.flatnonzero(((middle > patch[:2]) & (middle < patch[2:])).all(1))
    low, side = np.tile(patch[:2], 2), np.tile(patch[2:] - patch[:2], 2)
    return ((boxes[kept] - low) / side).clip(0, 1).astype(np.float32), kept


def flipped(boxes: np.ndarray) -> np.ndarray:
    """The boxes of the mirror image."""
    return np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], 1)


def _overlap(patch: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU (T,) of the patch with each box."""
    shared = (np.minimum(patch[2:], boxes[:, 2:]) - np.maximum(patch[:2], boxes[:, :2])).clip(0).prod(1)
    areas = (patch[2:] - patch[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return shared / (areas - shared)
