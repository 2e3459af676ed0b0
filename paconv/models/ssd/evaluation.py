"""Mean average precision by the rule of PASCAL VOC (Everingham et al. 2010, section 4.2, and the development kit).

Class by class, over all images, from the best score down: a detection's object is the one of its class in its image
that it overlaps most. If the overlap is below the threshold, it is a false positive; if the object is difficult, it
doesn't count; if a detection before it has the object, it is a false positive; otherwise a true one. After k of them

    precision p_k = true / (true + false)      recall r_k = true / (objects that aren't difficult)

    "voc2007"   AP = 1/11 sum over r = 0, 0.1, .., 1 of max { p_k : r_k >= r }
    "voc2010"   AP = area under  p(r) = max { p_k : r_k >= r }

mAP is the mean over the classes that have objects. r_k >= r is decided in integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from paconv.errors import UsageError
from paconv.models.ssd.boxes import iou
from paconv.models.ssd.detections import Detections

__all__ = ["RULES", "MeanAveragePrecision", "Objects", "mean_average_precision"]

RULES = ("voc2007", "voc2010")


@dataclass(frozen=True)
class Objects:
    """What is in one image."""

    boxes: Tensor
    """(T, 4): corners, in the detections' unit."""
    labels: Tensor
    """(T,) int64, from 1."""
    difficult: Tensor | None = None
    """(T,) bool; None if none is."""


@dataclass(frozen=True)
class MeanAveragePrecision:
    """Average precisions, from 0 to 1."""

    mean: float
    """mAP; NaN without objects."""
    by_class: dict[int, float]
    """Label -> AP, for every class that has objects."""


def mean_average_precision(
    detections: Sequence[Detections],
    objects: Sequence[Objects],
    *,
    threshold: float = 0.5,
    rule: str = "voc2007",
    pixels: bool = False,
) -> MeanAveragePrecision:
    """mAP of the detections in some images, given the objects in the same images.

    Args:
        detections: Per image.
        objects: Per image, in the same order.
        threshold: IoU from which a detection is an object's.
        rule: "voc2007" or "voc2010".
        pixels: Whether boxes are in pixels, both corners inside, as VOC's annotations and its development kit have
            them; otherwise a side is the difference of its corners.

    Raises:
        UsageError: The rule is unknown, or detections and objects are of different numbers of images.
    """
    if rule not in RULES:
        raise UsageError(f"rule must be 'voc2007' or 'voc2010'; found {rule!r}")
    if len(detections) != len(objects):
        raise UsageError(f"expected detections and objects of the same images; found {len(detections)}, {len(objects)}")
    by_class = {}
    for label in sorted({int(label) for each in objects for label in each.labels}):
        outcomes, count = _outcomes(detections, objects, label, threshold, 1.0 if pixels else 0.0)
        if count:
            by_class[label] = float(_average_precision(outcomes, count, rule))
    mean = sum(by_class.values()) / len(by_class) if by_class else float("nan")
    return MeanAveragePrecision(mean, by_class)


def _outcomes(
    detections: Sequence[Detections], objects: Sequence[Objects], label: int, threshold: float, extent: float
) -> tuple[list[bool], int]:
    """True or false for each detection of the class that counts, best first; and the number of objects that count."""
    found: list[tuple[float, int, int]] = []  # score, image, its object or -1
    difficult: list[list[bool]] = []
    for image, (detected, there) in enumerate(zip(detections, objects, strict=True)):
        mine = there.labels == label
        marks = torch.zeros_like(mine) if there.difficult is None else there.difficult
        difficult.append(marks[mine].tolist())
        scores, boxes = (values[detected.labels == label] for values in (detected.scores, detected.boxes))
        chosen = torch.full((len(scores),), -1, dtype=torch.int64)
        if mine.any():
            overlap, nearest = iou(boxes.double(), there.boxes[mine].double(), extent).max(1)
            chosen = torch.where(overlap >= threshold, nearest, -1)
        found += [(s, image, o) for s, o in zip(scores.tolist(), chosen.tolist(), strict=True)]
    found.sort(key=lambda each: -each[0])  # stable: of equal scores, the first image's comes first
    outcomes, taken = [], set()
    for _, image, each in found:
        if each < 0:
            outcomes.append(False)
        elif not difficult[image][each]:
            outcomes.append((image, each) not in taken)
            taken.add((image, each))
    return outcomes, sum(not mark for marks in difficult for mark in marks)


def _average_precision(outcomes: list[bool], count: int, rule: str) -> Fraction:
    """AP of a class with `count` objects, exact."""
    true = 0
    curve: list[tuple[int, Fraction]] = []  # true positives so far, precision
    for k, outcome in enumerate(outcomes, 1):
        true += outcome
        curve.append((true, Fraction(true, k)))
    envelope = [Fraction(0)] * (count + 1)  # best precision with at least t true positives
    for t, precision in curve:
        envelope[t] = max(envelope[t], precision)
    for t in range(count - 1, -1, -1):
        envelope[t] = max(envelope[t], envelope[t + 1])
    if rule == "voc2010":
        return sum(envelope[1:], Fraction(0)) / count
    least = (-(-tenth * count // 10) for tenth in range(11))  # true positives that a recall of tenth / 10 takes
    return sum((envelope[t] for t in least), Fraction(0)) / 11
