"""Reading an image file, and what happens to its values before a network sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from paconv.errors import DataError

__all__ = ["MEAN", "SUFFIXES", "normalized", "read_image"]

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
"""Files with another suffix are no images."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue (0 to 1) over ImageNet's training images, as is the practice."""


def read_image(path: Path) -> Image.Image:
    """The whole image as RGB. Raises DataError naming the file if it can't be read or is damaged."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: expected an image, found something else; repair or replace it") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's decoders meet damaged bytes with any of these
        raise DataError(f"{path}: the image is damaged: {error}; repair or replace it") from error


def normalized(image: Image.Image) -> Tensor:
    """RGB image -> (3, H, W) float32 of about zero mean and unit variance."""
    values = torch.from_numpy(np.array(image, dtype=np.float32) / 255).permute(2, 0, 1)
    mean, std = (torch.tensor(each)[:, None, None] for each in (MEAN, STD))
    return ((values - mean) / std).contiguous()
