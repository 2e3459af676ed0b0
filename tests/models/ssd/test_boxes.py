"""Boxes, priors and suppression."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paconv.models.ssd import decode, encode, iou, non_maximum_suppression, prior_boxes
from paconv.models.ssd.boxes import centers, corners
from tests.effort import examples


def test_ssd300_has_8732_priors():
    assert prior_boxes().shape == (8732, 4)


def test_priors_are_centered_in_their_cells_and_have_the_published_sides():
    priors = prior_boxes().double() * 300
    first = priors[:4]  # the corner cell of the 38x38 map
    root = math.sqrt(2)
    sides = [(30, 30), (30 * root, 30 * root), (30 * root, 30 / root), (30 / root, 30 * root)]
    # float32 priors below 1.1: an error of 2**-24 at most, 300 times that in pixels
    tolerance = {"rtol": 0, "atol": 300 * 2.0**-24}
    assert torch.allclose(first[:, 2:], torch.tensor(sides, dtype=torch.float64), **tolerance)
    assert torch.allclose(first[:, :2], torch.full((4, 2), 4.0, dtype=torch.float64), **tolerance)
    second_row = priors[38 * 4]
    assert torch.allclose(second_row[:2], torch.tensor([4.0, 12.0], dtype=torch.float64), **tolerance)
    # the 19x19 map: six boxes a cell, of area 60^2 but for the second
    areas = priors[5776:5782, 2:].prod(1)
    expected = torch.tensor([3600, 60 * 111, 3600, 3600, 3600, 3600], dtype=torch.float64)
    assert torch.allclose(areas, expected, rtol=0, atol=2 * 111 * 300 * 2.0**-24)
    assert torch.equal(prior_boxes()[-4:, :2], torch.full((4, 2), 0.5))


def test_corners_and_centers_are_inverse():
    boxes = torch.tensor([[0.0, 0.25, 0.5, 1.0], [-0.5, 0.125, 0.0, 0.25]])
    assert centers(boxes).tolist() == [[0.25, 0.625, 0.5, 0.75], [-0.25, 0.1875, 0.5, 0.125]]
    assert torch.equal(corners(centers(boxes)), boxes)


def test_a_prior_itself_is_coded_as_zeros_and_a_shift_and_a_scale_by_the_variances():
    prior = torch.tensor([[0.5, 0.5, 0.25, 0.5]])
    assert encode(corners(prior), prior).tolist() == [[0, 0, 0, 0]]
    moved = prior + torch.tensor([[0.25, 0.0, 0.0, 0.0]])
    assert torch.equal(encode(corners(moved), prior), torch.tensor([[1 / 0.1, 0, 0, 0]]))
    tall = prior * torch.tensor([[1, 1, 1, 2]])
    assert torch.equal(encode(corners(tall), prior), torch.log(torch.tensor([[1, 1, 1, 2.0]])) / 0.2)


@settings(derandomize=True, deadline=None, max_examples=examples(50))
@given(st.integers(0, 2**32 - 1))
def test_decoding_is_the_inverse_of_coding(seed):
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(20, 2, generator=generator, dtype=torch.float64)
    boxes = torch.cat([low, low + 0.01 + torch.rand(20, 2, generator=generator, dtype=torch.float64)], 1)
    priors = prior_boxes()[torch.randint(8732, (20,), generator=generator)].double()
    # a dozen float64 operations on values of at most 2 / 0.01: far below 1e-12
    assert torch.allclose(decode(encode(boxes, priors), priors), boxes, rtol=0, atol=1e-12)


def test_overlap_by_hand():
    a = torch.tensor([[0.0, 0, 2, 2], [5, 5, 6, 6], [1, 1, 1, 1]])
    b = torch.tensor([[1.0, 1, 3, 3], [0, 0, 2, 2], [1, 1, 1, 1]])
    expected = [[1 / 7, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert torch.equal(iou(a, b), torch.tensor(expected))
    # as pixels, both corners inside: sides of 3, a common square of 2
    assert torch.equal(iou(a[:1], b[:1], extent=1), torch.tensor([[4 / 14]]))
    assert iou(a[2:], b[2:], extent=1).item() == 1


def test_suppression_by_hand():
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 3], [0, 0, 4, 2], [10, 10, 11, 11], [0, 0, 4, 4]])
    scores = torch.tensor([0.5, 0.9, 0.8, 0.1, 0.5])
    # 1 stays and suppresses 2 (2/3), 0 and 4 (3/4)
    assert non_maximum_suppression(boxes, scores, 0.5).tolist() == [1, 3]
    # 1 suppresses 0 and 4 only; of 2 nobody who stays overlaps more than 2/3
    assert non_maximum_suppression(boxes, scores, 0.7).tolist() == [1, 2, 3]
    # an overlap equal to the threshold doesn't suppress; of equal boxes and scores the first stays
    assert non_maximum_suppression(boxes, scores, 0.75).tolist() == [1, 2, 0, 3]
    assert non_maximum_suppression(torch.empty(0, 4), torch.empty(0), 0.5).tolist() == []


@settings(derandomize=True, deadline=None, max_examples=examples(50))
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.2, 0.45, 0.7]))
def test_suppression_keeps_what_a_plain_loop_keeps(seed, threshold):
    generator = torch.Generator().manual_seed(seed)
    low = torch.randint(0, 8, (30, 2), generator=generator).double()
    boxes = torch.cat([low, low + torch.randint(1, 6, (30, 2), generator=generator)], 1)
    scores = torch.randint(0, 10, (30,), generator=generator).double()
    left, kept = sorted(range(30), key=lambda k: (-scores[k], k)), []
    while left:
        best, *left = left
        kept.append(best)
        left = [k for k in left if iou(boxes[best : best + 1], boxes[k : k + 1]).item() <= threshold]
    assert non_maximum_suppression(boxes, scores, threshold).tolist() == kept
