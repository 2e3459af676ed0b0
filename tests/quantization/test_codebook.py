"""Codebooks of weights."""

import numpy as np
import pytest

from paconv.quantization.codebook import even_codebook, fit_codebook


def on_codebook(seed: int, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(seed)
    scales = r.uniform(0.2, 5, 12)
    return scales[:, None] * r.choice(levels, (12, 200), p=[0.1, 0.2, 0.4, 0.2, 0.1]), scales


@pytest.mark.parametrize("seed", range(4))
def test_weights_on_a_codebook_are_found_again(seed):
    w, _ = on_codebook(seed, np.array([-2, -1, 0, 1, 2.0]))
    for most in (None, 15):
        book = fit_codebook(w, 4, most)
        assert book.scales[:, None] * book.levels[book.nearest(w)] == pytest.approx(w, rel=1e-12)
    assert set(book.levels) <= set(range(-15, 16)) and book.levels[book.zero] == 0


def test_a_channels_scale_is_its_own():
    w = np.random.default_rng(0).standard_normal((8, 300))
    factor = np.logspace(-6, 6, 8)
    one, other = fit_codebook(w, 6, 15), fit_codebook(w * factor[:, None], 6, 15)
    # the codebook weighs channels by their energy, so that only the scales can be compared, and only roughly
    assert other.scales / one.scales == pytest.approx(factor, rel=0.25)


@pytest.mark.parametrize("most", [None, 15, 3])
def test_channels_of_zeros_stay_zero(most):
    w = np.random.default_rng(1).standard_normal((5, 90))
    w[[1, 3]] = 0
    book = fit_codebook(w, 4, most)
    assert (book.scales[[1, 3]] == 0).all() and (book.scales[[0, 2, 4]] > 0).all()
    assert (book.nearest(w)[[1, 3]] == book.zero).all()
    assert not fit_codebook(np.zeros((3, 4)), 4, most).scales.any()


@pytest.mark.parametrize("seed", range(3))
def test_the_grid_costs_little_and_more_levels_reduce_the_error(seed):
    w = np.random.default_rng(seed).standard_normal((16, 400))

    def error(M, most):
        book = fit_codebook(w, M, most)
        return ((w - book.scales[:, None] * book.levels[book.nearest(w)]) ** 2).mean()

    real = [error(M, None) for M in (2, 4, 6, 8)]
    assert real == sorted(real, reverse=True)
    assert all(error(M, 15) < 1.15 * e for M, e in zip((2, 4, 6, 8), real, strict=True))


@pytest.mark.parametrize("M", [2, 3, 4, 5])
def test_even_levels_are_those_of_a_fine_search_for_the_scale(M):
    w = np.random.default_rng(M).standard_t(4, (20, 150))
    book = even_codebook(w, M)
    assert np.array_equal(book.levels, np.arange(-(2 ** (M - 1)), 2 ** (M - 1))) and book.levels[book.zero] == 0

    def errors(scales):
        k = np.clip(np.rint(w / scales[:, None]), book.levels[0], book.levels[-1])
        return ((w - scales[:, None] * k) ** 2).sum(1)

    largest = np.abs(w).max(1)
    best = np.min([errors(part * largest / 2 ** (M - 1)) for part in np.linspace(0.15, 1.3, 2000)], axis=0)
    # a scale of 25 that are tried, and then the best for its integers
    assert (errors(book.scales) < 1.1 * best).all() and errors(book.scales).sum() < 1.03 * best.sum()
    assert not even_codebook(np.zeros((3, 4)), M).scales.any()
