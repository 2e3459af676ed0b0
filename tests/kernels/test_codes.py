"""Level codes: their steps are exact, and the whole stays within what kernels/registry.py promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import paconv
from paconv.bits import level_table, unpack_codes
from paconv.kernels.arguments import CODING_HEAD, GATHER_RUN, LANES, LOW_ZERO, F
from paconv.kernels.registry import CHOICES
from paconv.kernels.tiling import MAX_CODE_TILE, code_tile
from paconv.reference import activation_levels, pa_bit_conv
from paconv.runtime.library import cpu_levels
from tests.bit_conv_cases import cases, kernel_tolerance, make_case, model_of
from tests.kernels.test_steps import kernel


def run(case, choice):
    return paconv.InferenceSession(model_of(case).SerializeToString(), kernel=choice).run(None, {"X": case.X})[0]


def aligned(shape, dtype) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def block(**fields) -> np.ndarray:
    """The argument block with arrays by address."""
    arguments = np.zeros(len(F), np.int64)
    for name, value in fields.items():
        arguments[getattr(F, name)] = value.ctypes.data if isinstance(value, np.ndarray) else value
    return arguments


def coding_of(alpha, beta, weight_masks=None, level_masks=None, level=None):
    """(coding, level_codes) that prepare_coding makes."""
    M, N = alpha.shape[1] - 1, len(beta) - 1
    weight_masks = np.array([0, *(1 << np.arange(M))] if weight_masks is None else weight_masks, np.uint8)
    level_masks = np.array([0, *(1 << np.arange(N))] if level_masks is None else level_masks, np.uint8)
    coding, codes = np.zeros(CODING_HEAD + len(alpha)), np.zeros(len(level_masks), np.uint32)
    arguments = block(
        M=M, N=N, E=len(level_masks) - 1, alpha_rows=len(alpha), weight_codes=len(weight_masks), alpha=alpha, beta=beta,
        weight_masks=weight_masks, level_masks=level_masks, coding=coding, level_codes=codes,
    )  # fmt: skip
    kernel(level or cpu_levels()[0], "prepare_coding")[0](arguments.ctypes.data, 0)
    return coding, codes


def digits(codes, zero):
    return (codes & 255).astype(np.int64) - int(zero), (codes >> 16).astype(np.int64) - LOW_ZERO


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    M=st.integers(1, 8),
    N=st.integers(1, 8),
    rows=st.sampled_from([1, 3]),
    negative=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_activation_codes_give_the_levels_back_within_half_a_step_and_zero_exactly(M, N, rows, negative, seed):
    rng = np.random.default_rng(seed)
    alpha, beta = (rng.standard_normal(shape).astype(np.float32) for shape in ((rows, M + 1), N + 1))
    alpha[:, 0] = beta[0] = 0
    beta = beta if negative else np.abs(beta)
    coding, codes = coding_of(alpha, beta)
    q, r, error, high_error, zero = coding[:CODING_HEAD]
    hi, lo = digits(codes, zero)
    values = level_table(beta, [0, *(1 << np.arange(N))]).astype(np.float64)
    assert (np.abs(values - q * (hi + r * lo)) <= q * r * (0.5 + 1e-9)).all()
    assert hi[0] == lo[0] == 0
    assert zero == (128 if (beta < 0).any() else 0)
    assert (codes & 255).max() <= 255 and np.abs(lo).max() <= 127
    assert 0 <= error and 0 <= high_error


def test_evenly_spaced_levels_need_one_digit():
    alpha, beta = np.float32([[0, -0.3, 0.3]]), np.float32([0, *np.arange(1, 8) / 7])
    coding, _ = coding_of(alpha, beta)
    assert coding[3] < 1e-6


def test_every_level_makes_the_same_codes():
    rng = np.random.default_rng(0)
    alpha, beta = rng.standard_normal((5, 9)).astype(np.float32), rng.standard_normal(8).astype(np.float32)
    made = {coding_of(alpha, beta, level=level)[0].tobytes() for level in cpu_levels()}
    assert len(made) == 1


@given(D=st.integers(1, 2), budget=st.integers(1, 40))
def test_a_tile_of_codes_fits_the_registers(D, budget):
    pixels = code_tile(D, budget)
    assert 1 <= pixels <= MAX_CODE_TILE
    assert pixels == 1 or pixels * D + 2 <= budget


@pytest.mark.parametrize("level", cpu_levels())
@pytest.mark.parametrize("D", [1, 2])
def test_dot_products_are_exact(level, D):
    rng = np.random.default_rng(D)
    taps, run_words = 2, 5
    function, P = kernel(level, "accumulate_codes", D, D)
    image = rng.integers(0, 2**32, (64, D), dtype=np.uint32)
    image[:16] = 0xFFFFFFFF  # the largest digits
    at = rng.integers(0, 40, P)
    pixel_offsets, tap_offsets = at * 4 * D, np.array([0, 7 * 4 * D])
    weights = aligned((taps, run_words, D, LANES), np.uint32)
    weights[:] = rng.integers(0, 2**32, weights.shape, dtype=np.uint32)
    weights[:, :2] = 0x81818181  # -127
    dots = aligned((P, D, LANES), np.int32)
    function(
        P, image.ctypes.data, pixel_offsets.ctypes.data, tap_offsets.ctypes.data, taps, run_words, weights.ctypes.data,
        dots.ctypes.data,
    )  # fmt: skip
    w = weights.view(np.int8).reshape(taps, run_words, D, LANES, 4).astype(np.int64)
    a = image.view(np.uint8).reshape(64, D, 4).astype(np.int64)
    for p in range(P):
        words = np.stack([a[at[p] + 7 * tap : at[p] + 7 * tap + run_words] for tap in range(taps)])
        product = np.einsum("tkdlc,tkec->del", w, words)
        expected = [product[0, 0]] if D == 1 else [product[0, 0], product[1, 0] + product[0, 1]]
        assert (dots[p] == expected).all()


@pytest.mark.parametrize("D", [1, 2])
def test_gather_stores_the_digits_of_each_level_and_their_sums(D):
    rng = np.random.default_rng(D)
    channels, group, height, width, E = 6, 2, 5, 2 * GATHER_RUN // 5 + 3, 3
    C, CW, Hp, Wp = channels * group, 2, height + 1, width + 2
    X = rng.standard_normal((1, C, height, width)).astype(np.float32)
    v = np.sort(rng.standard_normal((C, E)).astype(np.float32), axis=1)
    X[0, :, 0, :E] = v
    X[0, 0, 0, 0] = np.nan
    sign = rng.choice(np.array([-1, 1], np.int8), C)
    level_codes = rng.integers(0, 256, (E + 1, 2), dtype=np.uint32)
    codes, coding = level_codes[:, 0] | level_codes[:, 1] << 16, np.array([1, 1, 0, 0, 128.0])
    expected = np.zeros((group, Hp, Wp, CW * 4, D), np.uint8)
    found = level_codes[activation_levels(X, v, sign)[0]].reshape(group, channels, height, width, 2)
    expected[:, 1:, 1:-1, :channels] = found.transpose(0, 2, 3, 1, 4)[..., :D]
    expected = expected.reshape(group, Hp, Wp, CW, 4, D).transpose(0, 1, 2, 3, 5, 4)
    sums = np.zeros((group, Hp, Wp, 2), np.int64)
    sums[:, 1:, 1:-1] = found.sum(1, dtype=np.int64) - channels * np.array([128, LOW_ZERO])
    for level in cpu_levels():
        words, found_sums = np.zeros((group, Hp, Wp, CW, D), np.uint32), np.zeros((group, Hp, Wp, 2), np.int32)
        runs = -(-height * width // GATHER_RUN)
        arguments = block(
            x=X, words=words, sums=found_sums, v=v, sign=sign, coding=coding, level_codes=codes, B=1, C=C, H=height,
            W=width, G=group, CG=channels, CW=CW, PT=1, PL=1, Hp=Hp, Wp=Wp, E=E, D=D, v_rows=C, sign_rows=C,
            gather_runs=runs,
        )  # fmt: skip
        for task in range(group * runs):
            kernel(level, "gather_codes")[0](arguments.ctypes.data, task)
        assert (words.view(np.uint8).reshape(expected.shape) == expected).all()
        assert (found_sums == sums).all()


@pytest.mark.parametrize("choice", ["codes", "codes-fast"])
@settings(max_examples=80, deadline=None, derandomize=True)
@given(case=cases())
def test_codes_are_within_the_bound_that_holds_for_any_case(choice, case):
    expected = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs)
    assert (np.abs(run(case, choice) - expected.Y) <= kernel_tolerance(case, expected, choice)).all()


def pa_case(M: int, N: int, seed: int, **sizes):
    """A case with levels as PA has them: weights about symmetric, activations ascending from 0."""
    rng = np.random.default_rng(seed)
    case = make_case(rng, M=M, N=N, per_channel=False, **sizes)
    case.inputs["v"][:] = np.linspace(-0.2, 1.5, N)
    case.inputs["sign"][:] = 1
    case.inputs["beta"][1:] = np.sort(rng.uniform(0.2, 2.5, N))
    half = -(-M // 2)
    case.inputs["alpha"][:, 1:] = np.sort([*-rng.uniform(0.2, 2.5, half), *rng.uniform(0.2, 2.5, M - half)])
    return case


@pytest.mark.parametrize("M", range(1, 9))
@pytest.mark.parametrize("N", range(1, 9))
def test_exact_codes_are_off_by_at_most_what_they_promise(M, N):
    case = pa_case(M, N, 10 * M + N, channels=64, out=48, size=(9, 9))
    expected = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs)
    largest = np.abs(expected.Y - case.inputs["bias"][:, None, None]).max()
    error = np.abs(run(case, "codes") - expected.Y)
    assert (error <= CHOICES["codes"].error * largest + kernel_tolerance(case, expected)).all()


def test_a_window_of_zeros_gives_the_bias_alone():
    case = pa_case(4, 5, 1, channels=5, out=7)
    case.X[:] = -1
    for choice in CHOICES:
        assert (run(case, choice) == np.broadcast_to(case.inputs["bias"][:, None, None], (1, 7, 6, 6))).all()


def test_a_code_without_a_mask_is_refused_as_with_planes():
    case = pa_case(2, 2, 0)
    codes = unpack_codes(case.inputs["W"], 8 * 8 * 9)
    assert codes.max() < 3
    case.inputs["W"][:] = 255
    for choice in CHOICES:
        with pytest.raises(Exception, match="expected weight codes below 3"):
            run(case, choice)
