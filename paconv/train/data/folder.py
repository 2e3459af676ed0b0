"""Images in an ImageNet-style folder: PATH/train/CLASS/*.jpg to train on, PATH/val/CLASS/*.jpg held out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from paconv.errors import DataError
from paconv.samples.pictures import SUFFIXES, read_picture
from paconv.train.data.augment import center_crop, random_resized_crop
from paconv.train.data.images import normalized
from paconv.train.data.samples import CLASSIFICATION, Batch, DataSource, Key, Samples

__all__ = ["FolderSamples", "folder"]


def folder(path: str | os.PathLike, seed: int = 0, size: int = 224) -> DataSource:
    """The images below `path`, as (3, size, size). A class is a folder in train/; labels are by their sorted names.

    Without val/ nothing is held out. Raises DataError where train/ is missing, has no class, or a class no image, and
    for a class of val/ that train/ doesn't have.
    """
    path = Path(path)
    classes = _classes(path / "train")
    training = FolderSamples(_files(path / "train", classes), size, seed)
    held_out = None
    if (path / "val").is_dir():
        for name in _classes(path / "val"):
            if name not in classes:
                raise DataError(f"{path / 'val' / name}: {path / 'train'} has no such class")
        held_out = FolderSamples(_files(path / "val", classes, all_needed=False), size, None)
    return DataSource(f"folder:{path}", CLASSIFICATION, training, held_out, tuple(classes), (3, size, size))


class FolderSamples(Samples):
    """Images of a folder.

    Args:
        files: A (path, label) per sample.
        size: Side of the square, in pixels.
        seed: Of augmentation; None for the middle crop.
    """

    def __init__(self, files: list[tuple[Path, int]], size: int, seed: int | None):
        self.files, self.size, self.seed = files, size, seed

    def __len__(self) -> int:
        return len(self.files)

    def batch(self, keys: Sequence[Key]) -> Batch:
        """Images (B, 3, size, size) float32, normalized, and labels (B,)."""
        images = []
        for epoch, index in keys:
            image = read_picture(self.files[index][0])
            if self.seed is None:
                image = center_crop(image, self.size)
            else:
                image = random_resized_crop(image, self.size, np.random.default_rng([self.seed, epoch, index]))
            images.append(normalized(image))
        return torch.stack(images), torch.tensor([self.files[index][1] for _, index in keys])

    def plain(self) -> FolderSamples:
        """The middle crops."""
        return FolderSamples(self.files, self.size, None)


def _classes(path: Path) -> list[str]:
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; expected one with a folder of images for each class")
    found = sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))
    if not found:
        raise DataError(f"{path}: expected a folder of images for each class, found none")
    return found


def _files(path: Path, classes: list[str], all_needed: bool = True) -> list[tuple[Path, int]]:
    files: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        if not (path / name).is_dir():
            continue  # val/ needn't have every class
        images = sorted(e.name for e in os.scandir(path / name) if e.name.lower().endswith(SUFFIXES))
        if not images and all_needed:
            raise DataError(f"{path / name}: expected images ({', '.join(SUFFIXES)}), found none")
        files += [(path / name / image, label) for image in images]
    return files
