"""Reading a picture, and fitting it into a network's input."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from paconv.errors import DataError

__all__ = ["SUFFIXES", "fitted", "pictures_below", "read_picture"]

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
"""Files with another suffix are no pictures."""

_FORMATS = ("BMP", "JPEG", "PNG", "WEBP")
"""Pillow's decoders that are tried, whatever the suffix says."""


def read_picture(path: Path, mode: str = "RGB") -> Image.Image:
    """The whole picture as RGB, or grey ("L"). Raises DataError naming the file if it can't be read or is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures before it refuses larger ones
            with Image.open(path, formats=_FORMATS) as image:
                return image.convert(mode)
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: expected an image, found something else; repair or replace it") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error}") from error
    except Exception as error:  # Pillow's decoders meet damaged bytes with errors of any type
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: the image is damaged: {reason}; repair or replace it") from error


def pictures_below(folder: Path) -> list[Path]:
    """Every picture in `folder` and in folders below, sorted by path; hidden ones left out. Links aren't followed."""
    found = []
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(base, name) for name in files if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def fitted(image: Image.Image, height: int, width: int) -> Image.Image:
    """The largest middle part of the aspect height : width, as height x width pixels.

    That is the picture with its shorter side (as the aspect counts it) resized, and the middle of that; bilinear over
    all the pixels that one pixel of the result covers.
    """
    if image.size == (width, height):
        return image
    scale = min(image.width / width, image.height / height)
    left, top = (image.width - scale * width) / 2, (image.height - scale * height) / 2
    box = (left, top, left + scale * width, top + scale * height)
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)
