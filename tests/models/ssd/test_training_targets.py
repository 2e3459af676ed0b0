"""Matching of priors with objects, and the multibox loss."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from paconv.errors import UsageError
from paconv.models.ssd import MultiboxLoss, encode, iou, match, prior_boxes
from paconv.models.ssd.boxes import centers, corners

PRIORS = centers(torch.tensor([[0.0, 0, 4, 4], [4, 0, 8, 4], [0, 4, 4, 8], [4, 4, 8, 8]]) / 8)
"""Four quarters of the image."""


def test_an_object_gets_the_prior_that_it_overlaps_most_however_little_that_is():
    boxes = torch.tensor([[5.0, 1, 6, 2]]) / 8
    labels, targets = match(boxes, torch.tensor([7]), PRIORS)
    assert labels.tolist() == [0, 7, 0, 0]
    assert torch.equal(targets[1], boxes[0]) and torch.equal(targets[2], corners(PRIORS)[2])


def test_of_two_objects_with_the_same_best_prior_the_closer_one_gets_it_and_the_other_its_next():
    boxes = torch.tensor([[0.0, 0, 5, 4], [0, 0, 4, 4]]) / 8
    labels, targets = match(boxes, torch.tensor([1, 2]), PRIORS)
    assert labels.tolist() == [2, 1, 0, 0]
    assert torch.equal(targets[1], boxes[0])


def test_a_free_prior_gets_what_it_overlaps_by_half():
    half = torch.tensor([[0.0, 0, 8, 4]]) / 8  # each upper quarter is half of it
    assert match(half, torch.tensor([3]), PRIORS)[0].tolist() == [3, 3, 0, 0]
    assert match(half, torch.tensor([3]), PRIORS, threshold=0.51)[0].tolist() == [3, 0, 0, 0]


def test_more_objects_than_priors_and_none():
    assert match(torch.empty(0, 4), torch.empty(0, dtype=torch.int64), PRIORS)[0].tolist() == [0, 0, 0, 0]
    boxes = torch.tensor([[0.0, 0, 4, 4]] * 6) / 8
    assert match(boxes, torch.arange(1, 7), PRIORS)[0].tolist() == [1, 0, 0, 0]


def test_every_object_has_a_prior_of_ssd300():
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(12, 2, generator=generator) * 0.7
    boxes = torch.cat([low, low + 0.02 + 0.25 * torch.rand(12, 2, generator=generator)], 1)
    priors = prior_boxes()
    labels, targets = match(boxes, torch.arange(1, 13), priors)
    assert set(labels.tolist()) == set(range(13))
    overlap = iou(boxes, corners(priors))
    assert (labels[(overlap >= 0.5).any(0)] > 0).all()
    assert torch.equal(targets[labels > 0], boxes[labels[labels > 0] - 1])


@pytest.mark.parametrize(
    "boxes, labels, message",
    [
        ([[0.1, 0.1, 0.1, 0.5]], [1], "found one without area"),
        ([[0.1, 0.1, 0.2, 0.5]], [0], "labels from 1, 0 is the background; found 0"),
        ([[0.1, 0.1, 0.2, 0.5]], [1, 2], "a box .* for each of 2 labels; found"),
    ],
)
def test_bad_objects_are_refused(boxes, labels, message):
    with pytest.raises(UsageError, match=message):
        match(torch.tensor(boxes), torch.tensor(labels), PRIORS)


def test_the_loss_by_hand():
    torch.manual_seed(0)
    boxes = [torch.tensor([[0.0, 0, 4, 3]]) / 8, torch.empty(0, 4)]
    labels = [torch.tensor([2]), torch.empty(0, dtype=torch.int64)]
    locations, confidences = torch.randn(2, 4, 4), torch.randn(2, 4, 3)
    log_p = F.log_softmax(confidences[0], 1)
    coded = encode(boxes[0], PRIORS[:1])
    # one match, so three negatives, which are all that the first image has; the second has none to mine
    expected = F.smooth_l1_loss(locations[0, :1], coded, reduction="sum") - log_p[0, 2] - log_p[1:, 0].sum()
    found = MultiboxLoss(PRIORS)(locations, confidences, boxes, labels)
    assert abs(found - expected) <= 1e-5  # about ten float32 sums of values below 10
    fewer = MultiboxLoss(PRIORS, negatives=1)(locations, confidences, boxes, labels)
    hardest = (-log_p[1:, 0]).max()
    assert abs((found - fewer) - (-log_p[1:, 0].sum() - hardest)) <= 1e-5


def test_the_loss_is_a_mean_over_matched_priors_and_0_without_any():
    labels = torch.tensor([1])
    box = corners(PRIORS)[:1]
    loss = MultiboxLoss(PRIORS)
    locations, confidences = torch.zeros(3, 4, 4), torch.zeros(3, 4, 2)
    # exact locations; each image has one match and three negatives of log 2
    found = loss(locations, confidences, [box] * 3, [labels] * 3)
    assert abs(found.item() - 4 * math.log(2)) <= 4 * 2.0**-22
    nothing = [torch.empty(0, 4)] * 3, [torch.empty(0, dtype=torch.int64)] * 3
    zero = loss(locations.requires_grad_(), confidences, *nothing)
    zero.backward()
    assert zero == 0 and not locations.grad.any()


def test_gradient_descent_on_the_loss_finds_the_object():
    torch.manual_seed(0)
    boxes, labels = [torch.tensor([[0.1, 0.2, 0.5, 0.6]])], [torch.tensor([1])]
    loss = MultiboxLoss(PRIORS)
    locations, confidences = (torch.zeros(1, 4, n, requires_grad=True) for n in (4, 2))
    before = loss(locations, confidences, boxes, labels).item()
    optimizer = torch.optim.Adam([locations, confidences], 0.3)
    for _ in range(60):
        optimizer.zero_grad()
        loss(locations, confidences, boxes, labels).backward()
        optimizer.step()
    assert loss(locations, confidences, boxes, labels).item() < before / 20
    assert confidences.argmax(2).tolist() == [[1, 0, 0, 0]]
