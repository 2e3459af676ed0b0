"""What happens to the values of an image before a network sees them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["MEAN", "normalized"]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue (0 to 1) over ImageNet's training images, as is the practice."""


def normalized(image: Image.Image) -> Tensor:
    """RGB image -> (3, H, W) float32 of about zero mean and unit variance."""
    values = torch.from_numpy(np.array(image, dtype=np.float32) / 255).permute(2, 0, 1)
    mean, std = (torch.tensor(each)[:, None, None] for each in (MEAN, STD))
    return ((values - mean) / std).contiguous()
