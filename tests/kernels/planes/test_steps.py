"""The kernels' steps on their own, as linked into the library, on every CPU that this machine runs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paconv import bits
from paconv.bits import MAX_PLANES
from paconv.kernels.arguments import GATHER_RUN, LANES, F
from paconv.kernels.cpus import find_cpu
from paconv.kernels.registry import microkernels
from paconv.reference import activation_levels
from paconv.runtime.library import runnable_cpus
from tests.bit_conv_cases import make_case
from tests.effort import examples
from tests.kernels.linked import aligned, kernel

ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1)
"""Bits of a byte."""


@pytest.mark.parametrize("cpu", runnable_cpus())
@pytest.mark.parametrize("taps, run", [(2, 3), (1, 31), (3, 37), (1, 70), (5, 13)])
def test_accumulate_counts_exactly_for_every_sub_block_and_number_of_pixels(cpu, taps, run):
    rng = np.random.default_rng(run)
    for each in microkernels(find_cpu(cpu)):
        if each.name != "accumulate":
            continue
        m, n = each.variant
        M, N = (int(rng.integers(size, MAX_PLANES + 1)) for size in (m, n))
        i, j = int(rng.integers(0, M - m + 1)), int(rng.integers(0, N - n + 1))
        P = int(rng.integers(1, each.plan.pixels + 1))
        words = rng.integers(0, 2**32, (40 + 7 * taps + run, N), dtype=np.uint32)
        words[:20] = 0xFFFFFFFF  # with the weights' ones, counters as full as they can be
        at = rng.integers(0, 40, P)
        pixel_offsets, tap_offsets = at * 4 * N, 7 * 4 * N * np.arange(taps)
        weights, counts = aligned((taps, run, M, LANES), np.uint32), aligned((P, M, N, LANES), np.int32)
        weights[:] = rng.integers(0, 2**32, weights.shape, dtype=np.uint32)
        weights[..., :3] = 0xFFFFFFFF
        counts[:] = -1
        kernel(cpu, "accumulate", m, n)(
            P, words.ctypes.data + 4 * j, pixel_offsets.ctypes.data, tap_offsets.ctypes.data, taps, run,
            weights[0, 0, i:].ctypes.data, counts[0, i:, j:].ctypes.data, M, N,
        )  # fmt: skip
        windows = np.stack([[words[p + 7 * t : p + 7 * t + run] for t in range(taps)] for p in at])  # (P, taps, run, N)
        mine = np.zeros((M, N), bool)
        mine[i : i + m, j : j + n] = True
        both = weights[None, :, :, i : i + m, None] & windows[:, :, :, None, j : j + n, None]
        expected = ONES[both.view(np.uint8)].reshape(*both.shape, 4).sum((1, 2, -1), dtype=np.int64)
        assert (counts[:, i : i + m, j : j + n] == expected).all(), each
        assert (counts[:, ~mine] == -1).all(), each


@settings(max_examples=examples(40), deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.sampled_from([1, 31, 32, 33, 65]),
    group=st.integers(1, 2),
    coding=st.sampled_from(["one-hot", "binary", "thermometer"]),
    width=st.sampled_from([1, 7, 64, 65, 130]),
)
def test_gather_packs_the_reference_levels_bit_for_bit(seed, channels, group, coding, width):
    case = make_case(
        np.random.default_rng(seed), N=4, channels=channels, group=group, out=1, size=(3, width), level_coding=coding,
        special=True, pads=(1, 0, 0, 2),
    )  # fmt: skip
    X, v, sign = case.X, case.inputs["v"], case.inputs["sign"]
    masks = np.array(case.attributes["level_masks"], np.uint8)
    CW, Hp, Wp = -(-channels // bits.WORD_BITS), 4, width + 2
    words = np.zeros((group, Hp, Wp, CW, 4), np.uint32)
    runs, parts = -(-3 * width // GATHER_RUN), min(CW, 2)
    fields = dict(
        x=X.ctypes.data, words=words.ctypes.data, v=v.ctypes.data, sign=sign.ctypes.data, level_masks=masks.ctypes.data,
        B=1, C=X.shape[1], H=3, W=width, XH=3, XW=width,
        XSH=1, XSW=1, G=group, CG=channels, CW=CW, Hp=Hp, Wp=Wp, PT=1, PL=0, N=4, E=v.shape[1],
        gather_runs=runs, gather_parts=parts, v_rows=len(v), sign_rows=len(sign),
    )  # fmt: skip
    arguments = np.zeros(F.count, np.int64)
    for name, value in fields.items():
        arguments[getattr(F, name)] = value
    planes = masks[activation_levels(X, v, sign)[0]].reshape(group, channels, 3, width)
    expected = np.zeros((group, Hp, Wp, CW, 4), np.uint64)
    for c in range(channels):
        for j in range(4):
            bit = ((planes[:, c] >> j) & 1).astype(np.uint64)
            expected[:, 1:, :width, c // 32, j] |= bit << np.uint64(c % 32)
    for cpu in runnable_cpus():
        words[:] = 0  # window padding is the caller's
        words[:, 1:, :width] = 0xDEADBEEF
        for task in range(group * parts * runs):
            kernel(cpu, "gather")(arguments.ctypes.data, task)
        assert (words == expected).all()


@pytest.mark.parametrize("cpu", runnable_cpus())
@pytest.mark.parametrize("channels, KW, DW, SW", [(1, 7, 1, 1), (8, 3, 2, 1), (20, 3, 1, 2), (33, 4, 3, 1)])
def test_window_rows_puts_a_rows_channels_side_by_side(cpu, channels, KW, DW, SW):
    rng = np.random.default_rng(channels)
    own, CW, Hp, Wp, N = -(-channels // 32), -(-KW * channels // 32), 2, 150, 3
    OW = (Wp - DW * (KW - 1) - 1) // SW + 1
    planes = rng.integers(0, 2, (Hp, Wp, N, channels), dtype=np.uint8)
    padded = np.zeros((Hp, Wp, N, own * 32), np.uint8)
    padded[..., :channels] = planes
    words = rng.integers(0, 2**32, (Hp, Wp, CW, N), dtype=np.uint32)  # what is not folded yet may be anything
    words[:, :, :own] = np.packbits(padded, axis=-1, bitorder="little").view(np.uint32).transpose(0, 1, 3, 2)
    arguments = np.zeros(F.count, np.int64)
    for name, value in dict(
        words=words.ctypes.data, CG=channels, CW=CW, N=N, Wp=Wp, OW=OW, KW=KW, DW=DW, SW=SW
    ).items():
        arguments[getattr(F, name)] = value
    for row in range(Hp):
        kernel(cpu, "window_rows")(arguments.ctypes.data, row)
    for column in range(0, OW * SW, SW):
        window = planes[:, column : column + KW * DW : DW].transpose(0, 2, 1, 3).reshape(Hp, N, KW * channels)
        folded = np.ascontiguousarray(words[:, column].transpose(0, 2, 1))
        found = np.unpackbits(folded.view(np.uint8), axis=-1, bitorder="little")
        assert (found[..., : KW * channels] == window).all()
        assert not found[..., KW * channels :].any()
