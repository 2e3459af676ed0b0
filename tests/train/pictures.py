"""Small folders of images that the tests make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["image_folder", "voc_folder"]


def image_folder(path: Path, classes: int = 2, training: int = 6, held_out: int = 3) -> Path:
    """PATH/train and PATH/val with a folder c0, c1, ... each; images of different sizes, darker by class."""
    draw = np.random.default_rng(0)
    for part, count in (("train", training), ("val", held_out)):
        for label in range(classes):
            folder = path / part / f"c{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                height, width = 20 + draw.integers(20, size=2)
                values = draw.integers(0, 100, (height, width, 3)) + 150 * label // max(1, classes - 1)
                Image.fromarray(values.astype(np.uint8)).save(folder / f"{number}.{'png' if number % 2 else 'jpg'}")
    return path


def voc_folder(path: Path, images: int = 4, size: tuple[int, int] = (60, 40), objects: str | None = None) -> Path:
    """A VOC-style folder; each image has a dog in pixels (11, 6) to (30, 25), unless `objects` (XML) are given."""
    draw = np.random.default_rng(0)
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (path / name).mkdir(parents=True)
    if objects is None:
        objects = annotated("dog", 11, 6, 30, 25)
    for number in range(images):
        values = draw.integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
        Image.fromarray(values).save(path / "JPEGImages" / f"{number:06}.jpg")
        (path / "Annotations" / f"{number:06}.xml").write_text(
            f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{objects}</annotation>"
        )
    names = [f"{number:06}" for number in range(images)]
    (path / "ImageSets/Main/trainval.txt").write_text("\n".join(names[: images // 2]))
    (path / "ImageSets/Main/test.txt").write_text("\n".join(names[images // 2 :]))
    return path


def annotated(name: str, x1: float, y1: float, x2: float, y2: float, difficult: int = 0) -> str:
    """The XML of one object."""
    box = f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>"
