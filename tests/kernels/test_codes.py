"""Level codes: their steps are exact, and the whole stays within what kernels/registry.py promises."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paconv.kernels.formats import FORMATS

import paconv
from paconv.bits import level_table, pack_codes, unpack_codes
from paconv.kernels.arguments import CODING_HEAD, GATHER_RUN, LANES, LOW, LOW_ZERO, MAX_CODE_BITS, MIN_SPAN, SPANS, F
from paconv.kernels.levels import LEVELS
from paconv.kernels.registry import CHOICES
from paconv.kernels.tiling import MAX_CODE_BLOCKS, MAX_CODE_PIXELS, code_tile
from paconv.reference import activation_levels, pa_bit_conv
from paconv.runtime.library import cpu_levels
from tests.bit_conv_cases import cases, kernel_tolerance, make_case, model_of
from tests.effort import examples
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


def coding_of(alpha, beta, code_format="word", weight_masks=None, level_masks=None, level=None):
    """(coding, level_codes) that prepare_coding makes."""
    M, N, made = alpha.shape[1] - 1, len(beta) - 1, FORMATS[code_format]
    weight_masks = np.array([0, *(1 << np.arange(M))] if weight_masks is None else weight_masks, np.uint8)
    level_masks = np.array([0, *(1 << np.arange(N))] if level_masks is None else level_masks, np.uint8)
    coding, codes = np.zeros(CODING_HEAD + len(alpha)), np.zeros(len(level_masks), np.uint32)
    arguments = block(
        M=M, N=N, E=len(level_masks) - 1, alpha_rows=len(alpha), weight_codes=len(weight_masks), alpha=alpha, beta=beta,
        weight_masks=weight_masks, level_masks=level_masks, coding=coding, level_codes=codes, D=made.D,
        digit_bits=made.digit_bits,
    )  # fmt: skip
    kernel(level or cpu_levels()[0], "prepare_coding")[0](arguments.ctypes.data, 0)
    return coding, codes


def digits(codes, code_format, zero):
    """(high, low) digits of activation codes; low ones are 0 for one digit."""
    made = FORMATS[code_format]
    if made.digit_bits == 16:
        return codes.astype(np.uint16).view(np.int16).astype(np.int64), np.zeros(len(codes), np.int64)
    low = (codes >> 16).astype(np.int64) - LOW_ZERO
    return (codes & 255).astype(np.int64) - int(zero), low if made.D == 2 else 0 * low


@pytest.mark.parametrize("code_format", FORMATS)
@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(
    M=st.integers(1, 8),
    N=st.integers(1, 8),
    rows=st.sampled_from([1, 3]),
    negative=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_activation_codes_give_the_levels_back_within_half_a_step_and_zero_exactly(
    code_format, M, N, rows, negative, seed
):
    rng = np.random.default_rng(seed)
    alpha, beta = (rng.standard_normal(shape).astype(np.float32) for shape in ((rows, M + 1), N + 1))
    alpha[:, 0] = beta[0] = 0
    beta = beta if negative else np.abs(beta)
    coding, codes = coding_of(alpha, beta, code_format)
    q, r, error, zero, least, largest = coding[:CODING_HEAD]
    hi, lo = digits(codes, code_format, zero)
    values = level_table(beta, [0, *(1 << np.arange(N))]).astype(np.float64)
    step = q * r if FORMATS[code_format].D == 2 else q
    assert (np.abs(values - q * (hi + r * lo)) <= step * (0.5 + 1e-9)).all()
    assert hi[0] == lo[0] == 0
    assert (hi.min(), hi.max()) == (least, largest) and least <= 0 <= largest
    bits = FORMATS[code_format].digit_bits
    assert zero == (LOW_ZERO if bits == 8 and (beta < 0).any() else 0)
    assert max(-least, largest) < 1 << ((MAX_CODE_BITS + 1) // 2 if bits == 16 else 8) and np.abs(lo).max() <= LOW
    assert error >= 0


def test_evenly_spaced_levels_need_one_byte():
    alpha, beta = np.float32([[0, -0.3, 0.3]]), np.float32([0, *np.arange(1, 8) / 7])
    coding, _ = coding_of(alpha, beta, "byte")
    assert coding[2] < 1e-6


@pytest.mark.parametrize("code_format", FORMATS)
def test_every_level_makes_the_same_codes(code_format):
    rng = np.random.default_rng(0)
    alpha, beta = rng.standard_normal((5, 9)).astype(np.float32), rng.standard_normal(8).astype(np.float32)
    made = {coding_of(alpha, beta, code_format, level=level)[0].tobytes() for level in cpu_levels()}
    assert len(made) == 1


@pytest.mark.parametrize("M", range(1, 9))
@pytest.mark.parametrize("N", range(1, 9))
def test_words_are_exact_enough_for_levels_as_pa_has_them(M, N):
    case = pa_case(M, N, 10 * M + N)
    coding, _ = coding_of(case.inputs["alpha"], case.inputs["beta"])
    assert coding[2] <= CHOICES["codes"].error


@given(budget=st.integers(2, 40), spans=st.booleans())
def test_a_tile_of_codes_fits_the_registers(budget, spans):
    tile = code_tile(budget, spans)
    assert 1 <= tile.blocks <= MAX_CODE_BLOCKS and tile.pixels <= MAX_CODE_PIXELS
    assert tile.blocks * tile.pixels * (2 if spans and tile.blocks == 2 else 1) <= budget
    assert tile.sizes[-1] == tile.pixels


def code_kernels():
    return [(level, name) for level in cpu_levels() for name in level_named(level).products]


def level_named(name):
    return next(level for level in LEVELS if level.name == name)


@pytest.mark.parametrize(("level", "code_format"), code_kernels())
def test_dot_products_are_exact_for_every_size_of_a_tile(level, code_format):
    rng = np.random.default_rng(0)
    taps, run_words, span, made = 2, 5, 2, FORMATS[code_format]
    function, tile = kernel(level, "accumulate_codes", made.number, 0)
    most_blocks, P = divmod(tile, 256)
    image = rng.integers(0, 2**32, 64, dtype=np.uint32)
    image[:16] = 0xFFFFFFFF if made.digit_bits == 8 else 0x3FFF3FFF  # the largest digits
    at = rng.integers(0, 40, P)
    pixel_offsets, tap_offsets = at * 4, np.array([0, 7 * 4])
    weights = aligned((most_blocks, taps, run_words, LANES), np.uint32)
    weights[:] = rng.integers(0, 2**32, weights.shape, dtype=np.uint32)
    weights[:, :, :2] = 0x81818181 if made.digit_bits == 8 else 0xC001C001  # -127, -(2**14 - 1)
    if made.digit_bits == 16:
        image &= 0x3FFF3FFF
        weights[:, :, 2:] &= 0x3FFF3FFF
    start, dots = aligned((most_blocks, LANES), np.int32), aligned((most_blocks, P, LANES), np.float32)
    start[:] = rng.integers(-1000, 1000, start.shape) if made.digit_bits == 8 else 0
    kinds = (np.int8, np.uint8) if made.digit_bits == 8 else (np.int16, np.int16)
    w = weights.view(kinds[0]).reshape(most_blocks, taps, run_words, LANES, made.channels).astype(np.int64)
    a = image.view(kinds[1]).reshape(64, made.channels).astype(np.int64)
    windows = np.stack([[a[p : p + run_words], a[p + 7 : p + 7 + run_words]] for p in at])
    products = np.einsum("btklc,ptkc->tkbpl", w, windows)
    if made.spans:
        expected = np.zeros((most_blocks, P, LANES), np.float32)
        for tap, first in product(range(taps), range(0, run_words, span)):
            expected += products[tap, first : first + span].sum(0).astype(np.float32)
    else:
        expected = (products.sum((0, 1)) + start[:, None]).astype(np.float32)
    for blocks, pixels in product(range(1, most_blocks + 1), range(1, P + 1)):
        dots[:] = np.nan
        function(
            pixels, blocks, image.ctypes.data, pixel_offsets.ctypes.data, tap_offsets.ctypes.data, taps, run_words,
            span, weights.ctypes.data, weights[0].nbytes, start.ctypes.data, dots.ctypes.data,
        )  # fmt: skip
        assert (dots[:blocks, :pixels] == expected[:blocks, :pixels]).all()


@pytest.mark.parametrize("code_format", FORMATS)
@pytest.mark.parametrize("channels", [3, 6, 33, 72])
def test_gather_stores_the_digits_of_each_level_and_their_sums(code_format, channels):
    rng = np.random.default_rng(channels)
    made = FORMATS[code_format]
    D, shared = made.D, made.channels
    group, height, width, E = 2, 5, 2 * GATHER_RUN // 5 + 3, 3
    C, CW, Hp, Wp = channels * group, -(-channels // shared), height + 1, width + 2
    X = rng.standard_normal((1, C, height, width)).astype(np.float32)
    v = np.sort(rng.standard_normal((C, E)).astype(np.float32), axis=1)
    X[0, :, 0, :E] = v
    X[0, 0, 0, 0] = np.nan
    sign = rng.choice(np.array([-1, 1], np.int8), C)
    coding = np.array([1, 1, 0, 128.0 if made.digit_bits == 8 else 0, 0, 0])
    kind = np.uint8 if made.digit_bits == 8 else np.int16
    digits = rng.integers(0, 256, (E + 1, 2)) if kind == np.uint8 else rng.integers(-(2**14), 2**14, (E + 1, 2))
    codes = (digits[:, 0] & 0xFFFF).astype(np.uint32)
    if made.digit_bits == 8:
        codes |= digits[:, 1].astype(np.uint32) << 16
    expected = np.zeros((group, Hp, Wp, CW * shared, D), kind)
    found = digits[activation_levels(X, v, sign)[0]].reshape(group, channels, height, width, 2)[..., :D]
    expected[:, 1:, 1:-1, :channels] = found.transpose(0, 2, 3, 1, 4)
    expected = expected.reshape(group, Hp, Wp, CW, shared, D).transpose(0, 1, 2, 3, 5, 4)
    sums = np.zeros((group, Hp, Wp, D), np.int64)
    sums[:, 1:, 1:-1] = found.sum(1, dtype=np.int64) - channels * np.array([coding[3], LOW_ZERO])[:D].astype(np.int64)
    for level in cpu_levels():
        words, found_sums = np.zeros((group, Hp, Wp, CW, D), np.uint32), np.zeros((group, Hp, Wp, D), np.int32)
        runs = -(-height * width // GATHER_RUN)
        arguments = block(
            x=X, words=words, sums=found_sums, v=v, sign=sign, coding=coding, level_codes=codes, B=1, C=C, H=height,
            W=width, G=group, CG=channels, CW=CW, PT=1, PL=1, Hp=Hp, Wp=Wp, E=E, D=D, digit_bits=made.digit_bits,
            v_rows=C, sign_rows=C, gather_runs=runs,
        )  # fmt: skip
        for task in range(group * runs):
            kernel(level, "gather_codes")[0](arguments.ctypes.data, task)
        assert (words.view(kind).reshape(expected.shape) == expected).all()
        assert (found_sums == sums).all()


def test_the_sums_of_spans_are_bounded_by_the_weights_that_there_are():
    """All weights the same level, so a span of n words sums to at most 2 n w a, and does so."""
    for words in (3, 40):
        case = pa_case(8, 8, 3, channels=2 * words, out=3, kernel=(1, 1), pads=(0, 0, 0, 0))
        coding, _ = coding_of(case.inputs["alpha"], case.inputs["beta"])
        top = int(np.argmax(case.inputs["alpha"][0]))
        w = round(float(case.inputs["alpha"][0, top]) / coding[CODING_HEAD])
        codes = np.full((3, 2 * words), top, np.uint8)
        sums = np.zeros((1, SPANS), np.int64)
        prepared = prepare(case, codes, coding, sums)
        assert (prepared == np.int16(w)).all()
        spans = [min(MIN_SPAN << k, words) for k in range(SPANS)]
        assert (sums[0] == [2 * n * w * coding[5] for n in spans]).all()
        assert sums[0, 0] <= 2**31 - 1


def prepare(case, codes, coding, sums):
    """Weights of 1x1 windows that prepare_codes makes of word codes, as (O, C) int16."""
    O, C = codes.shape
    CW = -(-C // 2)
    words = aligned((1, CW, LANES), np.uint32)
    lanes = {name: aligned((1, 1, LANES), kind) for name, kind in
             (("phi", np.float32), ("start", np.int32), ("base", np.float32), ("correction", np.float32))}  # fmt: skip
    alpha, inputs = case.inputs["alpha"][:1], case.inputs
    arguments = block(
        M=alpha.shape[1] - 1, D=1, digit_bits=16, CG=C, CW=CW, KH=1, KW=1, G=1, OG=O, OB=1, O=O, R=4, taps=1, run=CW,
        code_bytes=-(-codes.size // 8), codes=pack_codes(codes, 4), weight_codes=alpha.shape[1], alpha_rows=1,
        weight_masks=np.array(case.attributes["weight_masks"], np.uint8), alpha=alpha, scale=inputs["scale"],
        bias=inputs["bias"], coding=coding, weight_words=words, span_sums=sums, **lanes,
    )  # fmt: skip
    kernel(cpu_levels()[0], "prepare_codes")[0](arguments.ctypes.data, 0)
    return words.view(np.int16).reshape(CW, LANES, 2).transpose(1, 0, 2).reshape(LANES, 2 * CW)[:O, :C]


@pytest.mark.parametrize("choice", ["codes", "codes-fast"])
@settings(max_examples=examples(80), deadline=None, derandomize=True)
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


@pytest.mark.parametrize(("M", "N"), [(2, 2), (4, 5), (6, 6), (8, 7), (8, 8)])
def test_fast_codes_are_off_by_less_than_int8_is(M, N):
    """int8 as it is usual: weights -127..127 and activations 0..255, each scaled by its largest level; sums exact."""
    case = pa_case(M, N, 0, channels=64, out=48, size=(9, 9))
    expected = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs).Y
    rounded = dict(case.inputs)
    for name, top in (("alpha", 127), ("beta", 255)):
        scale = np.abs(case.inputs[name]).max() / top
        rounded[name] = np.rint(case.inputs[name] / scale) * scale
    int8 = pa_bit_conv(case.X, attributes=case.attributes, inputs=rounded).Y
    assert np.abs(run(case, "codes-fast") - expected).max() < np.abs(int8 - expected).max()


@pytest.mark.parametrize(("M", "N"), [(2, 2), (4, 5), (8, 7)])
@pytest.mark.parametrize("seed", range(3))
def test_exact_codes_keep_their_promise_where_neighbouring_activations_are_alike(M, N, seed):
    case = pa_case(M, N, seed, channels=16, out=32, size=(24, 24))
    rng = np.random.default_rng(seed)
    patches = np.kron(rng.standard_normal((1, 16, 4, 4)), np.ones((1, 1, 6, 6)))
    case.X[:] = patches + 0.1 * rng.standard_normal(patches.shape)
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
