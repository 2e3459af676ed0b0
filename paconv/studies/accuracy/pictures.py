"""The paper's Figures 1, 2, 4 and 5, drawn from trained networks.

figure1.png    weights: W_bar and its derivative in training      figure4.png    histograms of W and W_bar
figure2.png    activations: A_bar and its derivative              figure5.png    histograms of A and A_bar
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from paconv.files import replacing
from paconv.studies.accuracy.approximation import Approximation

__all__ = ["draw_histograms", "draw_passes"]

_BINS = 60


def draw_passes(shown: Approximation, symbol: str, path: str | os.PathLike) -> None:
    """Forward and backward of one quantizer as Figures 1 and 2 have them, to a PNG file. symbol: W or A."""
    figure, (forward, backward) = _figure(2, sharex=True)
    value, approximated, slope = (t.numpy() for t in (shown.value, shown.approximated, shown.slope))
    inside = slice(*np.searchsorted(value, np.quantile(value, [0.0005, 0.9995])))
    value, approximated, slope = value[inside], approximated[inside], slope[inside]
    forward.plot(value, value, color="lightgrey", label=symbol)
    forward.plot(value, approximated, ".", markersize=2, label=rf"forward: $\bar{{{symbol}}}$")
    forward.set_ylabel(rf"$\bar{{{symbol}}}$")
    forward.legend(markerscale=4)
    backward.plot(value, slope, ".", markersize=2, color="tab:orange")
    backward.set_ylabel(rf"backward: $\partial\bar{{{symbol}}}/\partial {symbol}$")
    backward.set_xlabel(f"{symbol}, {shown.layer}")
    backward.set_ylim(bottom=min(0, slope.min()) * 1.1)
    _save(figure, path)


def draw_histograms(shown: Approximation, symbol: str, path: str | os.PathLike) -> None:
    """Values and their approximation as Figures 4 and 5 have them, to a PNG file. symbol: W or A.

    Both have the same axes, and a level's bar is as wide as those of the values: heights can be compared.
    """
    figure, (real, few) = _figure(2, sharex=True, sharey=True)
    value = shown.value.numpy()
    real.hist(value, bins=_BINS)
    real.set_ylabel(f"number of {symbol}")
    levels, counts = np.unique(shown.approximated.numpy(), return_counts=True)
    few.bar(levels, counts, width=(value.max() - value.min()) / _BINS, color="tab:orange", edgecolor="white")
    few.set_ylabel(rf"number of $\bar{{{symbol}}}$")
    few.set_xlabel(f"{symbol} and its {len(levels)} levels, {shown.layer}")
    if counts.max() > 0.4 * counts.sum():  # the zeros that a ReLU leaves would hide the rest
        real.set_yscale("log")
        real.set_ylim(bottom=0.8)  # a bar of one value is seen
    _save(figure, path)


def _figure(rows: int, **options):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots(rows, **options)
    for each in axes:
        each.grid(alpha=0.3)
    return figure, axes


def _save(figure, path: str | os.PathLike) -> None:
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
