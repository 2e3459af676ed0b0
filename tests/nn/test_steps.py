"""Step functions of planes, and the floats that decide as an endpoint in float64 does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paconv.bits import level_table
from paconv.nn.rounding import above, at_least, at_most, below
from paconv.nn.steps import Steps, straight_through
from tests.effort import examples

LARGE = 2.0**99


@settings(max_examples=examples(200), deadline=None, derandomize=True)
@given(t=st.one_of(st.floats(-LARGE, LARGE), st.floats(-LARGE, LARGE, width=32)), side=st.sampled_from([-1, 0, 1]))
def test_the_float_beside_an_endpoint_decides_as_the_endpoint_does(t, side):
    exact = torch.tensor(t, dtype=torch.float64)
    w = exact.float()
    w = torch.nextafter(w, torch.tensor(side * torch.inf)) if side else w
    assert (w > at_most(exact, torch.float32)) == (w.double() > exact)
    assert (w > below(exact, torch.float32)) == (w.double() >= exact)
    assert (w >= at_least(exact, torch.float32)) == (w.double() >= exact)
    assert (w >= above(exact, torch.float32)) == (w.double() > exact)


def random_steps(seed: int, rows: int, planes: int, endpoints: int) -> Steps:
    rng = np.random.default_rng(seed)
    return Steps(
        torch.from_numpy(np.sort(rng.standard_normal((rows, endpoints)), 1).astype(np.float32)),
        torch.from_numpy(rng.standard_normal((rows, planes + 1)).astype(np.float32)),
        torch.from_numpy(rng.integers(0, 1 << planes, (rows, endpoints + 1)).astype(np.uint8)),
    )


@pytest.mark.parametrize("rows, planes, endpoints", [(1, 1, 1), (1, 8, 255), (5, 3, 7), (5, 8, 4)])
def test_levels_are_those_of_the_packed_model_bit_for_bit(rows, planes, endpoints):
    for seed in range(20):
        steps = random_steps(seed, rows, planes, endpoints)
        assert np.array_equal(steps.levels.numpy(), level_table(steps.coefficients.numpy(), steps.masks.numpy()))


@pytest.mark.parametrize("rows", [1, 5])
def test_weights_count_the_endpoints_below_them(rows):
    steps = random_steps(0, rows, 3, 4)
    W = torch.randn(5, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    W[0, 0, 0, :] = steps.endpoints[0, :3]
    found = steps.of_weights(W)
    for o in range(5):
        u, levels = steps.endpoints[min(o, rows - 1)], steps.levels[min(o, rows - 1)]
        assert torch.equal(found[o], levels[(W[o][..., None] > u).sum(-1)])


@pytest.mark.parametrize("endpoints, rows", [(1, 1), (1, 5), (5, 5)])
def test_weights_are_counted_by_row_of_coefficients_and_piece(endpoints, rows):
    steps = Steps(random_steps(0, endpoints, 3, 4).endpoints, *_tables(rows))
    W = torch.randn(5, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    pieces = (W[..., None] > steps.endpoints[:, None, None, None]).sum(-1)
    found = steps.count_weights(W)
    for row, part in enumerate(pieces.reshape(rows, -1)):
        assert found[row].tolist() == [(part == piece).sum() for piece in range(5)]


def _tables(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    steps = random_steps(1, rows, 3, 4)
    return steps.coefficients, steps.masks


@pytest.mark.parametrize("endpoints", [3, 16, 17, 255])
def test_activations_count_the_endpoints_reached_and_nan_reaches_none(endpoints):
    steps = random_steps(0, 1, 8, endpoints)
    v = steps.endpoints[0]
    x = torch.cat([v, torch.nextafter(v, -torch.ones(1)), torch.tensor([torch.nan, torch.inf, -torch.inf, -0.0])])
    assert torch.equal(steps.of_activations(x), steps.levels[0][(x[:, None] >= v).sum(-1)])


def test_straight_through_has_one_value_and_another_gradient():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = straight_through(x * 0.1, 3 * x)
    y.backward(torch.tensor([1.0, 10.0]))
    assert torch.equal(y.detach(), x.detach() * 0.1) and x.grad.tolist() == [3.0, 30.0]
