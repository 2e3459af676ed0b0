"""The kernels inside onnxruntime against the numpy reference."""

import numpy as np
import pytest
from hypothesis import given, settings

import paconv
from paconv.kernels.registry import CHOICES
from paconv.reference import finish_level_conv, pa_bit_conv
from tests.bit_conv_cases import (
    GRIDS,
    cases,
    exact_output,
    grid_of,
    kernel_tolerance,
    make_case,
    model_of,
    with_digits,
)
from tests.effort import examples
from tests.level_conv_cases import level_model, make_level_case


def run(case, counts=False, kernel="planes"):
    session = paconv.InferenceSession(model_of(case, counts).SerializeToString(), kernel=kernel)
    return session.run(None, {"X": case.X})[0]


def agrees(case):
    expected = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs)
    counts = run(case, counts=True)
    assert counts.dtype == np.int32 and counts.shape == expected.counts.shape
    assert (counts == expected.counts).all()
    Y = run(case)
    assert Y.shape == expected.Y.shape
    assert (np.abs(Y - expected.Y) <= kernel_tolerance(case, expected)).all()


def agree(seed, **sizes):
    """Levels off any grid within the bound; levels on one exactly, by every kernel."""
    agrees(make_case(np.random.default_rng(seed), **sizes))
    case = make_case(np.random.default_rng(seed), grid=(15, 0, 31), **sizes)
    assert grid_of(case)
    for kernel in CHOICES:
        assert run(case, kernel=kernel).tobytes() == exact_output(case).tobytes()


@settings(max_examples=examples(120), deadline=None, derandomize=True)
@given(case=cases(grids=(None, None, *GRIDS)))
def test_counts_are_exact_and_outputs_within_the_derived_bound(case):
    agrees(case)


@pytest.mark.parametrize("M", range(1, 9))
@pytest.mark.parametrize("N", range(1, 9))
def test_every_number_of_planes_agrees(M, N):
    agree(10 * M + N, M=M, N=N, channels=33, out=17, size=(5, 7))


@pytest.mark.parametrize("below", [0, 1, 40, 127])
@pytest.mark.parametrize("N", [2, 3, 5, 7, 8])
@pytest.mark.parametrize("kernel", CHOICES)
def test_binary_digits_of_evenly_spaced_levels_agree(N, below, kernel):
    rng = np.random.default_rng(N + below)
    sizes = dict(channels=37, out=17, size=(9, 31), kernel=(3, 2), group=2, per_channel=bool(N % 2))
    case = make_case(rng, M=4, N=N, level_coding="binary", offsets=True, grid=(15, 0, 31), **sizes)
    case = with_digits(case, rng, min(below, 2**N - 1))
    if grid_of(case) is None:
        assert N == 8 and below  # integers beyond a signed byte: bit planes
        agrees(case)
        return
    expected = exact_output(case)
    assert run(case, kernel=kernel).tobytes() == expected.tobytes()
    out = np.ascontiguousarray(expected.transpose(0, 2, 3, 1))
    linked = make_level_case(case, rng, expected.shape, residual=False)
    wanted = finish_level_conv(out, linked.residual, linked.finish)
    session = paconv.InferenceSession(level_model(linked).SerializeToString(), kernel=kernel)
    found = session.run(None, {"L": linked.L, "R": linked.residual})
    assert all((array == wanted[name]).all() for name, array in zip(linked.wanted, found, strict=True))


@pytest.mark.parametrize("channels", [1, 31, 32, 33, 63, 64, 65])
def test_every_word_padding_agrees(channels):
    agree(channels, M=2, N=3, channels=channels, out=19, special=True)


def test_a_large_image_of_many_pixel_chunks_agrees():
    agree(3, M=2, N=2, channels=4, out=4, size=(70, 131), strides=(2, 1))


@pytest.mark.parametrize("channels", [3, 8, 16, 20, 43])
@pytest.mark.parametrize("kernel, dilations", [((3, 3), (1, 1)), ((2, 5), (1, 2)), ((1, 4), (1, 3))])
def test_few_channels_in_folded_words_agree(channels, kernel, dilations):
    agree(
        channels, M=5, N=3, channels=channels, group=2, out=5, size=(6, 17), strides=(1, 2), kernel=kernel,
        dilations=dilations, pads=(1, 0, 0, 3), batch=2, offsets=True,
    )  # fmt: skip


@pytest.mark.parametrize("strides", [(2, 2), (1, 3), (3, 1)])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 0, 0, 1)])
def test_a_1x1_convolution_with_strides_agrees(strides, pads):
    sizes = dict(kernel=(1, 1), strides=strides, pads=pads, size=(19, 43), channels=35, group=2, batch=2)
    agree(6, M=2, N=2, out=3, offsets=True, **sizes)


@pytest.mark.parametrize("channels", [32 * 11, 32 * 37])
def test_windows_of_more_words_than_a_byte_counts_agree(channels):
    agree(7, M=1, N=2, channels=channels, out=2, size=(3, 4), special=True)


def test_an_empty_batch_gives_an_empty_output():
    case = make_case(np.random.default_rng(4), batch=0)
    assert run(case).shape == (0, 8, 6, 6)


def test_all_zero_and_all_one_planes_give_the_smallest_and_the_largest_counts():
    case = make_case(np.random.default_rng(5), M=1, N=1, channels=40, out=3, pads=(0, 0, 0, 0), per_channel=False)
    case.inputs["W"][:] = 255
    case.inputs["v"][:] = 0
    case.inputs["sign"][:] = 1
    case.X[:] = 1
    assert (run(case, counts=True) == 40 * 9).all()
    case.X[:] = -1
    assert (run(case, counts=True) == 0).all()
