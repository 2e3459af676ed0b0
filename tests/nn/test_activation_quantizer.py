"""PAActivation: eqs. 10-14, and the facts that follow from them."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paconv.errors import ExportError, UsageError
from paconv.nn import PAActivation
from paconv.nn.functional import approximate_activations, segment_ends
from paconv.nn.quantizers import LEAST_GAP
from paconv.reference import pa_activation
from tests.effort import examples

NAN, INF = float("nan"), float("inf")


def activations(seed: int = 0, shape: tuple[int, ...] = (4, 8, 6, 6)) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unscaled(N: int) -> PAActivation:
    return PAActivation(N).double()


def approximate(A, v, beta, lambda_a=None, lambda_delta=1.0, rectified=False):
    return approximate_activations(
        A,
        v,
        beta,
        lambda_a=lambda_a,
        lambda_delta=lambda_delta,
        least_width=LEAST_GAP,
        gradient_scale=1.0,
        rectified=rectified,
    )


def gradients(A, v, beta, g, **options):
    """dC/dA, dC/dv, dC/dbeta of C = sum g A_bar, unscaled."""
    A, v, beta = (t.detach().clone().requires_grad_() for t in (A, v, beta))
    (g * approximate(A, v, beta, **options)).sum().backward()
    return A.grad, v.grad, beta.grad


@pytest.mark.parametrize("N", range(1, 9))
def test_planes_sum_to_what_reached_the_first_endpoint_and_the_levels_are_looked_up_exactly(N):
    A, q = activations(), unscaled(N)
    level = (A[..., None] >= q.v).sum(-1)
    V = torch.stack([level == j for j in range(1, N + 1)])
    assert torch.equal(V.sum(0), (A >= q.v[0]).long())
    assert torch.equal((q.beta[:, None, None, None, None] * V).sum(0), q(A))


@pytest.mark.parametrize("N", range(1, 9))
@pytest.mark.parametrize("lambda_a", [None, 0.7])
def test_raising_all_endpoints_is_lowering_all_activations(N, lambda_a):
    A, q, g = activations(), unscaled(N), activations(1)
    dA, dv, _ = gradients(A, q.v, q.beta, g, lambda_a=lambda_a)
    # Two orders of summation of 1152 float64 terms.
    assert dv.sum().item() == pytest.approx(-dA.sum().item(), abs=1152 * 2**-52 * dA.abs().sum().item())


@pytest.mark.parametrize("N", range(1, 9))
def test_the_gradient_of_beta_is_that_of_a_linear_function(N):
    A, q, g = activations(), unscaled(N), activations(1)
    _, _, dbeta = gradients(A, q.v, q.beta, g)
    C = (g * approximate(A, q.v, q.beta)).sum().item()
    bound = 1152 * 2**-52 * g.abs().sum().item() * q.beta.max().item()
    assert (q.beta * dbeta).sum().item() == pytest.approx(C, abs=bound)
    for i in range(N):
        moved = q.beta.detach().clone()
        moved[i] += 0.5
        difference = (g * approximate(A, q.v, moved)).sum().item() - C
        assert difference / 0.5 == pytest.approx(dbeta[i].item(), abs=4 * bound)


@pytest.mark.parametrize("N", range(1, 9))
def test_the_gradient_of_an_endpoint_is_what_moving_it_through_its_segment_does(N):
    A, q, g = activations(), unscaled(N), activations(1)
    _, dv, _ = gradients(A, q.v, q.beta, g)
    t = segment_ends(q.v.detach(), 1.0)
    for i in range(N):
        C = []
        for position in (t[i], t[i + 1]):
            v = q.v.detach().clone()
            v[i] = position
            levels = torch.cat([q.beta.detach().new_zeros(1), q.beta.detach()])
            C.append((g * levels[(A[..., None] >= v).sum(-1)]).sum().item())
        bound = 1152 * 2**-52 * g.abs().sum().item() * q.beta.max().item() / (t[i + 1] - t[i]).item()
        assert (C[1] - C[0]) / (t[i + 1] - t[i]).item() == pytest.approx(dv[i].item(), abs=4 * bound)


@pytest.mark.parametrize("N", range(1, 9))
def test_area_matched_slopes_rise_by_one_step_over_each_segment(N):
    q = unscaled(N)
    t = segment_ends(q.v.detach(), 1.0)
    middles = (t[1:] + t[:-1]) / 2
    dA, _, _ = gradients(middles, q.v, q.beta, torch.ones_like(middles))
    steps = torch.cat([q.beta.new_zeros(1), q.beta]).diff()
    assert torch.allclose(dA * t.diff(), steps, rtol=1e-14, atol=0)  # a product and a quotient


@pytest.mark.parametrize("N", range(1, 9))
def test_no_gradient_below_the_first_segment_and_from_the_end_of_the_last(N):
    q = unscaled(N)
    t = segment_ends(q.v.detach(), 1.0)
    below = torch.nextafter(t[0], torch.tensor(-INF, dtype=t.dtype))
    inside = torch.nextafter(t[-1], torch.tensor(0.0, dtype=t.dtype))
    A = torch.stack([below, t[0], inside, t[-1], t.new_tensor(INF), t.new_tensor(-INF), t.new_tensor(NAN)])
    dA, _, _ = gradients(A, q.v, q.beta, torch.ones_like(A))
    assert (dA != 0).tolist() == [False, True, True, False, False, False, False]


def test_the_segments_of_one_endpoint_reach_lambda_delta_to_both_sides():
    assert segment_ends(torch.tensor([0.5]), 0.25).tolist() == [0.25, 0.75]


def test_an_explicit_lambda_is_the_slope_per_step():
    v, beta = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])
    dA, dv, dbeta = gradients(torch.tensor([1.2, 2.0, 2.5]), v, beta, torch.ones(3), lambda_a=0.5)
    assert dA.tolist() == [0.5, 1.5, 1.5]
    assert dv.tolist() == [-0.5, -3.0]
    assert dbeta.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("v", [[1.0, 3.0], [1.0, 5.0], [1.0, 1.5]], ids=["t_0 = 0", "t_0 < 0", "t_0 > 0"])
def test_a_zero_has_the_gradients_of_the_equations(v):
    v, beta, g = torch.tensor(v), torch.tensor([1.0, 4.0]), torch.tensor([3.0, 2.0])
    t = segment_ends(v, 1.0)
    slope = 1 / (t[1] - t[0]).item() if t[0] <= 0 else 0.0
    dA, dv, dbeta = gradients(torch.tensor([0.0, -0.0]), v, beta, g)
    assert dA.tolist() == [3 * slope, 2 * slope]
    assert dv.tolist() == [-5 * slope, 0.0]
    assert dbeta.tolist() == [0.0, 0.0]


def test_a_zero_that_a_relu_left_has_no_gradient_and_all_others_have_theirs():
    q, g = unscaled(5), activations(1)
    A = activations().relu()
    assert segment_ends(q.v.detach(), 1.0)[0] <= 0
    dA, dv, dbeta = gradients(A, q.v, q.beta, g)
    dA_rectified, dv_rectified, dbeta_rectified = gradients(A, q.v, q.beta, g, rectified=True)
    assert (dA[A == 0] != 0).all() and (dA_rectified[A == 0] == 0).all()
    assert torch.equal(dA_rectified[A > 0], dA[A > 0])
    assert dv_rectified[0] != dv[0] and torch.equal(dv_rectified[1:], dv[1:])
    assert torch.equal(dbeta_rectified, dbeta)
    assert torch.equal(approximate(A, q.v, q.beta, rectified=True), approximate(A, q.v, q.beta))


def test_the_module_treats_zeros_as_the_equations_do_unless_it_is_rectified():
    for rectified in (False, True):
        q, x = PAActivation(5, rectified=rectified), torch.zeros(4, requires_grad=True)
        q(x).sum().backward()
        assert (x.grad != 0).tolist() == [not rectified] * 4
        assert (q.v.grad != 0).tolist() == [not rectified, False, False, False, False]
    x = torch.zeros(4, requires_grad=True)
    PAActivation(5)(x).sum().backward()
    assert (x.grad != 0).all()


def test_what_a_relu_has_set_to_zero_does_not_pull_at_the_first_endpoint():
    q, A, g = unscaled(1), activations(), activations(1).abs()
    t_0 = segment_ends(q.v.detach(), 1.0)[0]
    assert t_0 < 0
    positive = A[A > 0]
    _, rectified, _ = gradients(A.relu(), q.v, q.beta, g, rectified=True)
    _, expected, _ = gradients(positive, q.v, q.beta, g[A > 0])
    assert torch.allclose(rectified, expected, rtol=1e-13, atol=0)


@settings(deadline=None, max_examples=examples(100))
@given(
    arrays(np.float32, st.integers(0, 60), elements=st.floats(width=32)),
    arrays(np.float32, st.integers(1, 8), elements=st.floats(-3, 3, width=32)),
    st.randoms(use_true_random=False),
)
def test_the_approximation_is_that_of_the_numpy_reference_also_on_endpoints_and_nan(x, v, random):
    v.sort()
    x = np.concatenate([x, v, np.nextafter(v, np.float32(-9)), np.float32([NAN, INF, -INF, 0.0, -0.0])])
    q = PAActivation(len(v))
    with torch.no_grad():
        q.v.copy_(torch.from_numpy(v))
        q.beta.copy_(torch.tensor([random.uniform(-2, 2) for _ in v]))
    assert np.array_equal(q(torch.from_numpy(x)).detach().numpy(), pa_activation(x, v, q.levels().detach().numpy()))


def test_nan_has_level_zero():
    assert PAActivation(5)(torch.tensor([NAN])).tolist() == [0.0]


def test_endpoints_that_coincide_skip_a_level():
    q = PAActivation(3)
    with torch.no_grad():
        q.v.copy_(torch.tensor([1.0, 2.0, 2.0]))
        q.beta.copy_(torch.tensor([10.0, 20.0, 30.0]))
    x = torch.tensor([0.0, 1.0, 2.0, 3.0], requires_grad=True)
    y = q(x)
    y.sum().backward()
    assert y.tolist() == [0.0, 10.0, 30.0, 30.0]
    assert x.grad.isfinite().all() and q.v.grad.isfinite().all() and q.beta.grad.isfinite().all()


def test_projection_sorts_and_separates_and_leaves_admissible_endpoints_alone():
    q = PAActivation(5)
    initial = q.v.detach().clone()
    q.project_()
    assert torch.equal(q.v, initial)
    with torch.no_grad():
        q.v.copy_(torch.tensor([2.0, -1.0, 2.0, 2.001, 0.5]))
    q.project_()
    assert q.v.tolist() == pytest.approx([0.01, 0.5, 2.0, 2.01, 2.02], rel=2**-22)  # float32 sums of gaps


@settings(deadline=None, max_examples=examples(100))
@given(arrays(np.float32, st.integers(1, 8), elements=st.floats(-10, 10, width=32)))
def test_projection_gives_ascending_positive_endpoints_and_is_idempotent(v):
    q = PAActivation(len(v))
    with torch.no_grad():
        q.v.copy_(torch.from_numpy(v))
    q.project_()
    once = q.v.detach().clone()
    assert once[0] >= LEAST_GAP * (1 - 2**-20)
    assert (once.diff() > LEAST_GAP / 2).all()
    q.project_()
    # The running maximum of once - i gap is recomputed in float32, within an ulp of 11.
    assert torch.allclose(q.v, once, rtol=0, atol=2 * 2**-20)


def test_the_gradients_of_the_parameters_are_scaled_by_the_number_of_activations():
    q, A, g = unscaled(5), activations(), activations(1)
    _, dv, dbeta = gradients(A, q.v, q.beta, g)
    (g * q(A)).sum().backward()
    scale = (A.numel() * 5) ** -0.5
    assert torch.allclose(q.v.grad, dv * scale, rtol=1e-14, atol=0)
    assert torch.allclose(q.beta.grad, dbeta * scale, rtol=1e-14, atol=0)


def test_slopes_and_steps_scale_with_the_unit_of_the_input():
    A, g = activations(), activations(1)
    plain, scaled = PAActivation(5, lambda_a=0.9).double(), PAActivation(5, lambda_a=0.9).double()
    with torch.no_grad():
        for tensor in (scaled.v, scaled.beta, scaled.unit):
            tensor.mul_(4)
    a, b = A.clone().requires_grad_(), (4 * A).requires_grad_()
    (g * plain(a)).sum().backward()
    (g * scaled(b)).sum().backward()
    assert torch.equal(scaled(4 * A), 4 * plain(A))
    assert torch.equal(a.grad, b.grad)


def test_half_precision_inputs_get_gradients_of_their_own_dtype():
    x = activations().to(torch.bfloat16).requires_grad_()
    q = PAActivation(5)
    q(x).sum().backward()
    assert x.grad.dtype == torch.bfloat16 and q.v.grad.dtype == torch.float32


def test_freezing_changes_no_decision_even_if_endpoints_are_out_of_order():
    q = PAActivation(3)
    with torch.no_grad():
        q.v.copy_(torch.tensor([1.5, 0.5, 1.0]))
    x = activations().float()
    before = q(x)
    q.freeze()
    assert torch.equal(q(x), before)
    assert q.v.tolist() == [0.5, 1.0, 1.5]
    assert torch.equal(q.levels(), q.frozen_levels)
    assert set(q.state_dict()) == {"v", "beta", "unit"}


def test_copies_and_pickles_compute_the_same():
    q, x = PAActivation(5), activations().float()
    with torch.no_grad():
        q.v.add_(0.1)
    assert torch.equal(copy.deepcopy(q)(x), q(x))
    assert torch.equal(pickle.loads(pickle.dumps(q))(x), q(x))


def test_an_empty_batch_passes():
    q = PAActivation(5)
    y = q(torch.zeros(0, 3, 4, 4, requires_grad=True))
    y.sum().backward()
    assert y.shape == (0, 3, 4, 4) and q.v.grad.tolist() == [0.0] * 5


def test_exporting_without_freezing_is_refused(monkeypatch):
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    with pytest.raises(ExportError, match="not frozen"):
        PAActivation(5)(torch.zeros(1))


@pytest.mark.parametrize("N", [0, 9, -1, 2.5, True, None, "5"])
def test_other_numbers_of_planes_are_refused(N):
    with pytest.raises(UsageError):
        PAActivation(N)


@pytest.mark.parametrize("options", [{"lambda_a": 0.0}, {"lambda_delta": -1.0}, {"lambda_delta": NAN}])
def test_factors_that_are_not_positive_are_refused(options):
    with pytest.raises(UsageError, match="must be a positive number"):
        PAActivation(5, **options)
