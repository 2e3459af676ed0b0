"""Level codes step by step: weights, spans, gathers and dot products are exact integers; what a node does with them."""

from itertools import product

import numpy as np
import pytest

import paconv
from paconv.bits import level_table, pack_codes, unpack_codes
from paconv.kernels.arguments import CODING, GATHER_RUN, LANES, LEVEL_RUN, MIN_SPAN, SPANS, F
from paconv.kernels.blocking import MAX_CODE_BLOCKS, MAX_CODE_PIXELS, TILE_ROWS
from paconv.kernels.cpus import CPUS, find_cpu
from paconv.kernels.registry import CHOICES, KINDS, kind_number
from paconv.reference import activation_levels
from paconv.runtime.library import runnable_cpus
from tests.bit_conv_cases import GRIDS, exact_output, grid_of, make_case, model_of
from tests.kernel_arguments import arguments_of, evenness
from tests.kernels.linked import aligned, cpu_kinds, kernel
from tests.kernels.whole_conv import Block, longest_span, output_of

LIMIT = np.iinfo(np.int16).max


def run(case, choice):
    return paconv.InferenceSession(model_of(case).SerializeToString(), kernel=choice).run(None, {"X": case.X})[0]


def prepared(cpu: str, case, kind: str = "") -> Block:
    """The block of a case of codes, its weights prepared for a kind of products, or the CPU's first."""
    about = find_cpu(cpu)
    block = Block(cpu, *arguments_of(case, about, kind or next(iter(about.multipliers))))
    block.run("prepare_coding", 1)
    block.run("prepare_codes", block.numbers["G"] * block.numbers["OB"])
    return block


def weight_bytes(block: Block) -> np.ndarray:
    """The prepared weights (G*OB, taps, words of a run, LANES, 4) int8."""
    n = block.numbers
    words = block.array("weight_words").view(np.int8).reshape(n["G"] * n["OB"], n["taps"], -1, LANES, 4)
    assert words.shape[2] % n["words_at_once"] == 0 and not words[:, :, n["run"] :].any()
    return words[:, :, : n["run"]]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("channels", "dilations"), [(3, (1, 1)), (30, (1, 2))])
def test_weights_are_the_integers_and_start_takes_the_zero_out(channels, dilations, grid):
    O, taps = 19, 9
    case = make_case(np.random.default_rng(0), channels=channels, out=O, dilations=dilations, offsets=True, grid=grid)
    about = grid_of(case)
    table = level_table(np.broadcast_to(about.alpha, (O, 5)), case.attributes["weight_masks"])  # (O, codes)
    codes = unpack_codes(case.inputs["W"], O * channels * taps).reshape(O, -1).astype(int)
    expected = np.zeros((2 * LANES, -(-channels // 4) * 4, taps))
    expected[:O, :channels] = np.take_along_axis(table, codes, 1).reshape(O, channels, taps)
    for cpu, kind in cpu_kinds():
        block = prepared(cpu, case, kind)
        words = weight_bytes(block).reshape(2, taps, -1, LANES, 4)  # by window position
        assert (words.transpose(0, 3, 2, 4, 1).reshape(expected.shape) == expected).all()
        zero = 128 if about.least < 0 else 0
        assert (block.array("start").reshape(-1) == -zero * expected.sum((1, 2))).all()


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("channels", "kernel_shape"), [(7, (3, 3)), (150, (1, 1)), (21, (1, 4)), (3, (1, 1))])
def test_sums_of_spans_are_the_largest_that_the_weights_can_give(channels, kernel_shape, grid):
    case = make_case(
        np.random.default_rng(channels), channels=channels, group=2, out=18, kernel=kernel_shape, offsets=True,
        grid=grid, level_coding="thermometer",
    )  # fmt: skip
    about = grid_of(case)
    shift = 128 if about.least < 0 else 0
    bytes_ = (min(about.least + shift, 0), about.largest + shift)
    for cpu in runnable_cpus():
        block = prepared(cpu, case)
        weights = weight_bytes(block).astype(np.int64)
        weights = weights.reshape(len(weights), -1, LANES, 4)  # all words of a window
        low, high = (reduce(*(weights * byte for byte in bytes_)) for reduce in (np.minimum, np.maximum))
        found = block.array("span_sums")
        for s in range(SPANS):
            words = MIN_SPAN << s
            for b in range(len(weights)):
                largest = 0
                for first in range(0, weights.shape[1], words):
                    for half in (slice(0, 2), slice(2, 4)):
                        ends = (each[b, first : first + words, :, half].sum((0, 2)) for each in (low, high))
                        largest = max(largest, *(np.abs(end).max() for end in ends))
                assert found[b, s] == largest, (s, b)


def test_a_span_is_as_long_as_sums_of_16_bits_allow():
    sums = np.zeros((3, SPANS), np.int64)
    assert longest_span(sums) == MIN_SPAN << SPANS - 1
    sums[1, 4:] = LIMIT
    assert longest_span(sums) == MIN_SPAN << SPANS - 1
    sums[2, 3:] = LIMIT + 1
    assert longest_span(sums) == MIN_SPAN << 2


@pytest.mark.parametrize("cpu", CPUS, ids=lambda cpu: cpu.name)
def test_blocks_of_codes_are_no_larger_than_the_tasks_have_room_for(cpu):
    assert set(cpu.multipliers) <= set(KINDS)
    for each in cpu.multipliers.values():
        assert 1 <= each.blocks <= MAX_CODE_BLOCKS and 1 <= each.pixels <= MAX_CODE_PIXELS


def bounded_weights(rng, shape, span: int, total: int) -> np.ndarray:
    """Weights (blocks, taps, run, LANES, 4) of bytes whose magnitudes add up to `total` over each span of a window, in
    the first and in the last two channels of its words, all of one sign for a lane and half.
    """
    blocks, taps, words, lanes, _ = shape
    weights = np.zeros((blocks, taps * words, lanes, 4), np.int64)
    for first in range(0, taps * words, span):
        taken = weights[:, first : first + span]
        for b, lane, half in product(range(blocks), range(lanes), range(2)):
            magnitudes, left = np.zeros(2 * taken.shape[1], np.int64), total
            for k in rng.permutation(len(magnitudes)):
                magnitudes[k] = min(left, 127 if len(magnitudes) == 2 else rng.integers(1, 128))
                left -= magnitudes[k]
            sign = -1 if lane >> half & 1 else 1
            taken[b, :, lane, 2 * half : 2 * half + 2] = sign * magnitudes.reshape(-1, 2)
    return weights.reshape(shape)


def check_dots(cpu, kind, weights, image, span, rng) -> None:
    """All sizes of a block, against the integers modulo 2**32. weights (blocks, taps, run, LANES, 4), image (n, 4)."""
    _, taps, words, _, _ = weights.shape
    multiplier, function = find_cpu(cpu).multipliers[kind], kernel(cpu, "accumulate_codes", kind_number(kind), 0)
    most_blocks, P, step = multiplier.blocks, multiplier.pixels, 7
    most = len(image) - words - (taps - 1) * step
    at = rng.integers(0, most + 1, P)
    if multiplier.words > 1:  # TILE_ROWS at one distance
        at = (at[::TILE_ROWS, None] // 2 + np.arange(TILE_ROWS) * (most // 2 // TILE_ROWS)).reshape(-1)
    at[0] = 0 if multiplier.words == 1 else at[0]
    pixel_offsets, tap_offsets = at * 4, np.arange(taps) * step * 4
    whole = -(-words // multiplier.words) * multiplier.words
    placed = aligned((most_blocks, taps, whole, LANES, 4), np.int8)
    placed[:, :, :words] = weights[:most_blocks]
    pixels_ = np.full((len(image) + multiplier.words, 4), 77, np.uint8)  # behind a run may be anything
    pixels_[: len(image)] = image
    start, dots = aligned((most_blocks, LANES), np.int32), aligned((most_blocks, P, LANES), np.int32)
    start[:] = rng.integers(-(2**31), 2**31, start.shape)
    windows = np.stack([[image[p + tap * step :][:words] for tap in range(taps)] for p in at])
    products = np.einsum("btklc,ptkc->bpl", weights[:most_blocks], windows.astype(np.int64))
    expected = (products + start[:, None]).astype(np.int32)  # modulo 2**32
    for blocks, pixels in product(range(1, most_blocks + 1), range(1, P + 1)):
        dots[:] = -1
        function(
            pixels, blocks, pixels_.ctypes.data, pixel_offsets.ctypes.data, tap_offsets.ctypes.data, taps, words,
            span, placed.ctypes.data, placed[0].nbytes, start.ctypes.data, dots.ctypes.data,
        )  # fmt: skip
        assert (dots[:blocks, :pixels] == expected[:blocks, :pixels]).all(), (blocks, pixels)


SIZES = [(1, 1), (2, 5), (3, 16), (1, 37), (2, 130)]
"""(taps, words of a run)."""


@pytest.mark.parametrize(("cpu", "kind"), [each for each in cpu_kinds() if each[1] != "narrow"])
@pytest.mark.parametrize(("taps", "words"), SIZES)
def test_dot_products_are_exact_for_every_size_of_a_block(cpu, kind, taps, words):
    rng = np.random.default_rng(words)
    weights = rng.integers(-127, 128, (MAX_CODE_BLOCKS, taps, words, LANES, 4))
    weights[..., :5, :], weights[..., 5:9, :] = -127, 127  # with the largest bytes, the largest sums
    image = rng.integers(0, 256, (words + 7 * taps + 40, 4))
    image[: words + 7 * taps] = 255
    check_dots(cpu, kind, weights, image, 1, rng)


@pytest.mark.parametrize("cpu", [cpu for cpu, kind in cpu_kinds() if kind == "narrow"])
@pytest.mark.parametrize(("byte", "total"), [(151, 217), (255, 128), (129, 254)])
@pytest.mark.parametrize("span", [1, 2, 8, 64])
@pytest.mark.parametrize(("taps", "words"), SIZES)
def test_dot_products_are_exact_where_sums_of_16_bits_are_as_large_as_they_can_be(cpu, byte, total, span, taps, words):
    rng = np.random.default_rng(span)
    shape = (MAX_CODE_BLOCKS, taps, words, LANES, 4)
    weights = bounded_weights(rng, shape, span, total)
    image = rng.integers(0, byte + 1, (words + 7 * taps + 40, 4))
    image[: words + 7 * taps] = byte
    pairs = np.abs(weights.reshape(MAX_CODE_BLOCKS, -1, LANES, 4)[:, :span, :, :2]).sum((1, 3)) * byte
    assert LIMIT - byte < pairs.max() <= LIMIT
    check_dots(cpu, "narrow", weights, image, span, rng)


@pytest.mark.parametrize("cpu", [cpu for cpu, kind in cpu_kinds() if kind == "narrow"])
def test_a_sum_that_leaves_16_bits_would_be_seen(cpu):
    rng = np.random.default_rng(0)
    weights = bounded_weights(rng, (MAX_CODE_BLOCKS, 2, 5, LANES, 4), 8, 218)  # 218 * 151 is 151 too many
    with pytest.raises(AssertionError):
        check_dots(cpu, "narrow", weights, np.full((80, 4), 151), 8, rng)


@pytest.mark.parametrize("digits", [False, True])
@pytest.mark.parametrize("channels", [3, 6, 33, 72])
def test_gathers_store_the_byte_of_each_level(channels, digits):
    rng = np.random.default_rng(channels)
    group, height, width, E = 2, 5, 2 * GATHER_RUN // 5 + 3, 15 if digits else 3
    C, CW, Hp, Wp = channels * group, -(-channels // 4), height + 1, width + 2
    X = rng.standard_normal((1, C, height, width)).astype(np.float32)
    v = np.sort(rng.standard_normal((C, E)).astype(np.float32), axis=1)
    if digits:
        v = (rng.uniform(0.05, 0.3, (C, 1)) * np.arange(-6, 9)).astype(np.float32)
    X[0, :, 0, :E] = v
    X[0, 0, 0, 0] = np.nan
    sign = rng.choice(np.array([-1, 1], np.int8), C)
    level_codes = rng.integers(0, 256, E + 1, dtype=np.uint8)
    coding, even = np.zeros(CODING.count), np.stack([evenness(row[:, None])[:, 0] for row in v])
    if digits:  # signed bytes from -6 on
        level_codes, coding[CODING.rising] = np.arange(-6, 10).astype(np.uint8), 1
        assert (even[:, 2] >= 0).all()
    levels = activation_levels(X, v, sign)
    expected = np.zeros((group, Hp, Wp, CW * 4), np.uint8)
    by_group = level_codes[levels[0]].reshape(group, channels, height, width)
    expected[:, 1:, 1:-1, :channels] = by_group.transpose(0, 2, 3, 1)
    channel_last = np.ascontiguousarray(levels.transpose(0, 2, 3, 1))
    gathers = {"gather_codes": GATHER_RUN, "gather_level_codes": LEVEL_RUN}
    for cpu, name in product(runnable_cpus(), gathers):
        words, arguments = np.zeros((group, Hp, Wp, CW), np.uint32), np.zeros(F.count, np.int64)
        runs = -(-height * width // gathers[name])
        fields = dict(
            x=X, levels=channel_last, words=words, v=v, sign=sign, level_codes=level_codes, coding=coding, even=even,
            B=1, C=C, H=height, W=width, XH=height, XW=width, XSH=1, XSW=1, G=group, CG=channels, CW=CW, PT=1, PL=1,
            Hp=Hp, Wp=Wp, E=E, v_rows=C, sign_rows=C, gather_runs=runs,
        )  # fmt: skip
        for field, value in fields.items():
            arguments[getattr(F, field)] = value.ctypes.data if isinstance(value, np.ndarray) else value
        for task in range(group * runs):
            kernel(cpu, name)(arguments.ctypes.data, task)
        assert (words.view(np.uint8) == expected).all(), (cpu, name)


@pytest.mark.parametrize("grid", [(1, 0, 1), (15, 0, 63)])
def test_a_window_longer_than_the_longest_span_is_exact(grid):
    channels = 4 * (MIN_SPAN << SPANS - 1) + 9
    case = make_case(
        np.random.default_rng(0), M=2, N=3, channels=channels, out=3, kernel=(1, 1), pads=(0, 0, 0, 0), size=(2, 3),
        grid=grid,
    )  # fmt: skip
    for cpu, kind in cpu_kinds():
        assert output_of(case, cpu, kind).tobytes() == exact_output(case).tobytes(), (cpu, kind)


def test_sums_beyond_floats_integers_are_exact_with_codes():
    """A window of 3 * 10**4 of the largest products: 9.7 * 10**8, where float32 numbers lie 64 apart."""
    channels = 30_000
    case = make_case(
        np.random.default_rng(0), M=2, N=2, channels=channels, out=3, kernel=(1, 1), pads=(0, 0, 0, 0), size=(1, 2),
        per_channel=False,
    )  # fmt: skip
    case.inputs["alpha"], case.inputs["beta"] = np.float32([[0, 127 / 8, 1 / 8]]), np.float32([0, 1, 255])
    case.inputs["W"][:] = pack_codes(np.ones((3, channels), np.uint8), 2)
    case.inputs["v"][:], case.inputs["sign"][:] = [0, 1], 1
    case.X[:] = 1
    case.X[0, :2, 0, 1] = 0, -1  # levels 1 and 0
    assert grid_of(case).most == 127 * 255
    integers = np.float32([127 * 255 * channels, 127 * (255 * (channels - 2) + 1)])
    scale = (case.inputs["scale"].astype(np.float64) / 8).astype(np.float32)
    expected = (scale[:, None] * integers + case.inputs["bias"][:, None]).reshape(1, 3, 1, 2)
    for cpu, kind in cpu_kinds():
        if kind != "narrow":
            assert output_of(case, cpu, kind).tobytes() == expected.tobytes(), (cpu, kind)
    assert run(case, None).tobytes() == expected.tobytes()


@pytest.mark.parametrize("grid", [(7, 0, 7), (15, -31, 31), None])
def test_a_window_of_zeros_gives_the_bias_alone(grid):
    case = make_case(np.random.default_rng(1), channels=5, out=7, per_channel=False, grid=grid)
    case.X[:], case.inputs["v"][:], case.inputs["sign"][:] = -1, 0, 1
    for choice in CHOICES:
        assert (run(case, choice) == np.broadcast_to(case.inputs["bias"][:, None, None], (1, 7, 6, 6))).all()


@pytest.mark.parametrize("choice", CHOICES)
def test_a_code_without_a_mask_is_refused(choice):
    case = make_case(np.random.default_rng(0), M=2, N=2, grid=(7, 0, 7))
    case.inputs["W"][:] = 255
    with pytest.raises(Exception, match="expected weight codes below 3"):
        run(case, choice)
