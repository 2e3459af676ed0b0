"""Objects in images, in a VOC-style folder:

PATH/JPEGImages/ID.jpg            images
PATH/Annotations/ID.xml           their objects: class, corners in pixels from 1, whether it is difficult
PATH/ImageSets/Main/SET.txt       IDs, one per line; whatever else is in a line doesn't matter
PATH/classes.txt                  names of the classes, one per line; VOC's twenty where there is no such file
"""

from __future__ import annotations

import copy
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from paconv.errors import DataError
from paconv.samples.pictures import read_picture
from paconv.train.data.augment_boxes import augmented, resized
from paconv.train.data.images import normalized
from paconv.train.data.samples import DETECTION, Batch, DataSource, Key, Samples

__all__ = ["VOC_CLASSES", "ImageObjects", "VocSamples", "read_annotation", "voc"]

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

_SETS = ("trainval", "test")


@dataclass(frozen=True)
class ImageObjects:
    """What is in one image."""

    boxes: Tensor
    """(T, 4) float32: corners (x1, y1, x2, y2), relative to the image."""
    labels: Tensor
    """(T,) int64, from 1; 0 is the background."""
    difficult: Tensor
    """(T,) bool."""


def voc(path: str, seed: int = 0, size: int = 300) -> DataSource:
    """The images in the folder of `path`, as (3, size, size), with their objects. path: FOLDER[:TRAINING[,HELD_OUT]].

    The image sets are "trainval,test" where none are named; with a TRAINING alone nothing is held out. Raises DataError
    for what is missing or malformed; annotations are read here, images later.
    """
    name, sets = _split(path)
    folder = Path(name)
    classes = _classes(folder)
    ids = [_ids(folder, each) for each in sets]
    training, *held_out = (
        VocSamples(folder, found, classes, size, seed if place == 0 else None) for place, found in enumerate(ids)
    )
    shape = (3, size, size)
    return DataSource(f"voc:{path}", DETECTION, training, held_out[0] if held_out else None, classes, shape)


class VocSamples(Samples):
    """The images `ids`. seed: of augmentation; None for none."""

    def __init__(self, folder: Path, ids: Sequence[str], classes: Sequence[str], size: int, seed: int | None):
        self.files = [folder / "JPEGImages" / f"{each}.jpg" for each in ids]
        self.objects = [read_annotation(folder / "Annotations" / f"{each}.xml", classes) for each in ids]
        self.size, self.seed = size, seed

    def __len__(self) -> int:
        return len(self.files)

    def batch(self, keys: Sequence[Key]) -> Batch:
        """Images (B, 3, size, size) float32, normalized, and an ImageObjects for each."""
        images, targets = [], []
        for epoch, index in keys:
            image, objects = read_picture(self.files[index]), self.objects[index]
            boxes, kept = objects.boxes.numpy(), np.arange(len(objects.boxes))
            if self.seed is None:
                image = resized(image, self.size)
            else:
                draw = np.random.default_rng([self.seed, epoch, index])
                image, boxes, kept = augmented(image, boxes, self.size, draw)
            images.append(normalized(image))
            targets.append(ImageObjects(torch.from_numpy(boxes), objects.labels[kept], objects.difficult[kept]))
        return torch.stack(images), targets

    def plain(self) -> VocSamples:
        """Whole images."""
        same = copy.copy(self)
        same.seed = None
        return same


def read_annotation(path: Path, classes: Sequence[str]) -> ImageObjects:
    """The objects in an annotation.

    Raises DataError naming the file for what is missing or malformed, a class that is none of `classes`, and a box
    without area.
    """
    try:
        root = ElementTree.parse(path).getroot()
        width, height = (_number(root, f"size/{side}") for side in ("width", "height"))
        if width <= 0 or height <= 0:
            raise DataError(f"expected an image size, found {width:g} x {height:g}")
        boxes, labels, difficult = [], [], []
        for each in root.iter("object"):
            name = (each.findtext("name") or "").strip()
            if name not in classes:
                raise DataError(f"class {name!r} is none of {', '.join(classes)}")
            x1, y1, x2, y2 = (_number(each, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
            # Pixels count from 1, and both corners are inside.
            box: tuple[float, ...] = ((x1 - 1) / width, (y1 - 1) / height, x2 / width, y2 / height)
            box = tuple(min(max(side, 0.0), 1.0) for side in box)
            if not (box[0] < box[2] and box[1] < box[3]):
                raise DataError(f"{name}: box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) has no area in {width:g} x {height:g}")
            boxes.append(box)
            labels.append(classes.index(name) + 1)
            difficult.append((each.findtext("difficult") or "0").strip() == "1")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such annotation") from error
    except (ElementTree.ParseError, DataError, OSError) as error:
        raise DataError(f"{path}: expected a VOC annotation: {error}") from error
    return ImageObjects(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(difficult, dtype=torch.bool),
    )


def _number(element: ElementTree.Element, name: str) -> float:
    text = element.findtext(name)
    try:
        return float(text or "")
    except ValueError as error:
        raise DataError(f"{name} is no number: {text!r}") from error


def _split(path: str) -> tuple[str, tuple[str, ...]]:
    folder, colon, sets = path.rpartition(":")
    if not colon or os.path.isdir(path):
        return path, _SETS
    names = tuple(filter(None, sets.split(",")))
    if not 1 <= len(names) <= 2:
        raise DataError(f"voc:{path}: expected FOLDER:TRAINING or FOLDER:TRAINING,HELD_OUT")
    return folder, names


def _classes(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    try:
        lines = (folder / "classes.txt").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return VOC_CLASSES
    names = tuple(line.strip() for line in lines if line.strip())
    if not names or len(set(names)) != len(names):
        raise DataError(f"{folder / 'classes.txt'}: expected different names of classes, one per line")
    return names


def _ids(folder: Path, name: str) -> list[str]:
    path = folder / "ImageSets" / "Main" / f"{name}.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        there = sorted(each.stem for each in path.parent.glob("*.txt"))
        raise DataError(
            f"{path}: no such image set; found {', '.join(there[:8]) or 'none'}; name which: "
            f"voc:{folder}:TRAINING,HELD_OUT"
        ) from error
    ids = [line.split()[0] for line in lines if line.strip()]
    if not ids:
        raise DataError(f"{path}: expected names of images, one per line; it is empty")
    return ids
