"""Detections from raw outputs, and mean average precision by VOC's rule."""

from __future__ import annotations

import math

import pytest
import torch

from paconv.errors import UsageError
from paconv.models.ssd import Detections, Objects, detect, encode, mean_average_precision, prior_boxes

HERE, THERE, FAR = [0.0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0.0, 0.75, 0.25, 1]


def detections(*found) -> Detections:
    """Of (box, label, score)."""
    boxes, labels, scores = zip(*found, strict=True) if found else ((), (), ())
    return Detections(torch.tensor(boxes).reshape(-1, 4), torch.tensor(labels, dtype=torch.int64), torch.tensor(scores))


def objects(*there, difficult=()) -> Objects:
    """Of (box, label)."""
    boxes, labels = zip(*there, strict=True) if there else ((), ())
    marks = torch.tensor([k in difficult for k in range(len(labels))], dtype=torch.bool)
    return Objects(torch.tensor(boxes).reshape(-1, 4), torch.tensor(labels, dtype=torch.int64), marks)


def test_detections_decode_score_suppress_and_sort():
    priors = prior_boxes()
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.5], [0.1, 0.1, 0.4, 0.5], [0.6, 0.5, 0.9, 1.2]])
    chosen = torch.tensor([100, 200, 8000])
    locations = torch.zeros(2, 8732, 4)
    locations[0, chosen] = encode(boxes, priors[chosen])
    confidences = torch.zeros(2, 8732, 3)
    confidences[..., 0] = 20  # background
    confidences[0, chosen] = torch.tensor([[0.0, 2, 0], [0, 3, 0], [0, 0, 1]])
    found, nothing = detect(locations, confidences, priors, min_score=0.3)
    assert found.labels.tolist() == [1, 2] and len(nothing.scores) == 0
    p = torch.tensor([[0.0, 3, 0], [0, 0, 1]]).softmax(1)
    assert torch.equal(found.scores, torch.stack([p[0, 1], p[1, 2]]))
    expected = torch.tensor([[0.1, 0.1, 0.4, 0.5], [0.6, 0.5, 0.9, 1]])  # clipped to the image
    assert torch.allclose(found.boxes, expected, rtol=0, atol=1e-6)  # float32 there and back, log and exp between
    both, _ = detect(locations, confidences, priors, min_score=0.3, overlap=1.0)
    assert both.labels.tolist() == [1, 1, 2]
    best, _ = detect(locations, confidences, priors, min_score=0.3, per_image=1)
    assert best.labels.tolist() == [1]


def test_right_detections_of_every_object_give_1_and_none_gives_0():
    there = [objects((HERE, 1), (THERE, 2)), objects((FAR, 1))]
    right = [detections((HERE, 1, 0.9), (THERE, 2, 0.1)), detections((FAR, 1, 0.3))]
    assert mean_average_precision(right, there).by_class == {1: 1.0, 2: 1.0}
    found = mean_average_precision([detections(), detections()], there)
    assert (found.mean, found.by_class) == (0.0, {1: 0.0, 2: 0.0})
    assert math.isnan(mean_average_precision([detections()], [objects()]).mean)


@pytest.mark.parametrize("rule", ["voc2007", "voc2010"])
def test_average_precision_by_hand(rule):
    # right, wrong, right, wrong: a second detection of an object that has one is wrong
    there = [objects((HERE, 1), (THERE, 1), (FAR, 1))]
    found = [detections((HERE, 1, 0.9), (HERE, 1, 0.8), (THERE, 1, 0.7), (FAR, 2, 0.6), ([0.3, 0.3, 0.4, 0.4], 1, 0.5))]
    # precision 1, 1/2, 2/3, 1/2 at recall 1/3, 1/3, 2/3, 2/3: recalls 0 to .3 reach 1, .4 to .6 reach 2/3, .7 and on 0
    expected = {"voc2007": (4 * 1 + 3 * 2 / 3) / 11, "voc2010": 1 / 3 * 1 + 1 / 3 * 2 / 3}[rule]
    result = mean_average_precision(found, there, rule=rule)
    assert result.by_class == {1: pytest.approx(expected, rel=2.0**-52)}


def test_recall_levels_are_met_exactly():
    # 3 of 10 objects: a recall of 0.3, which in floating point is less than 3 * 0.1
    boxes = [[k / 10, 0.0, (k + 1) / 10, 1.0] for k in range(10)]
    there = [objects(*((box, 1) for box in boxes))]
    found = [detections(*((box, 1, 1 - k / 10) for k, box in enumerate(boxes[:3])))]
    assert mean_average_precision(found, there).mean == pytest.approx(4 / 11, rel=2.0**-52)


def test_difficult_objects_neither_count_nor_make_a_detection_wrong():
    there = [objects((HERE, 1), (THERE, 1), difficult=[0])]
    found = [detections((HERE, 1, 0.9), (HERE, 1, 0.8), (THERE, 1, 0.7))]
    assert mean_average_precision(found, there).by_class == {1: 1.0}
    assert mean_average_precision(found, [objects((HERE, 1), difficult=[0])]).by_class == {}


def test_a_detection_goes_to_the_object_that_it_overlaps_most_and_not_to_another_image_or_class():
    near = [0.0, 0, 0.5, 0.4]
    there = [objects((HERE, 1), (near, 1)), objects((HERE, 2))]
    # the second one's object is taken; the other object in reach doesn't help
    taken = [detections((HERE, 1, 0.9), ([0.0, 0, 0.5, 0.49], 1, 0.8)), detections((HERE, 1, 0.7))]
    found = mean_average_precision(taken, there, rule="voc2010")
    assert found.by_class == {1: 0.5, 2: 0.0} and found.mean == 0.25


def test_an_overlap_of_exactly_the_threshold_is_enough():
    half = [0.0, 0, 0.5, 0.25]
    assert mean_average_precision([detections((half, 1, 0.9))], [objects((HERE, 1))]).mean == 1
    assert mean_average_precision([detections((half, 1, 0.9))], [objects((HERE, 1))], threshold=0.51).mean == 0


def test_pixels_are_inside_the_box_on_both_sides():
    there, found = [objects(([0.0, 0, 9, 9], 1))], [detections(([0.0, 0, 9, 4], 1, 0.9))]  # 10 x 10 and 10 x 5 pixels
    assert mean_average_precision(found, there, pixels=True).mean == 1
    assert mean_average_precision(found, there).mean == 0  # 4/9


def test_bad_arguments_are_refused():
    with pytest.raises(UsageError, match="rule must be 'voc2007' or 'voc2010'; found 'coco'"):
        mean_average_precision([], [], rule="coco")
    with pytest.raises(UsageError, match="of the same images; found 1, 0"):
        mean_average_precision([detections()], [])
