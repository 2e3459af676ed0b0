"""One PABitConv against the reference, fed the reference's own input X.

Compared in this order, and the first that differs is named:

    weights      integer levels: unit * k rounds to W_bar of the reference; others: the table's value is W_bar   exactly
    level values the same of the reference's activation levels                                                   exactly
    decisions    level(X) is the level that the reference's quantizer chose, up to flips     (verification/decisions.py)
    sums         of integer levels, and the output made from them, scale and bias: exactly    (verification/integers.py)
                 of others, counts exactly and outputs within a derived bound              (verification/real_levels.py)
    reference    its own output is the float64 result from its own levels W_bar and A within gamma_{K+1} sum |w a|
                 through what follows (verification/bounds.py). So a flip never needs a looser bound.
"""

from __future__ import annotations

from math import prod

import numpy as np

from paconv.bits import unpack_codes
from paconv.ops.integer_levels import integer_levels
from paconv.reference import activation_levels, convolve
from paconv.verification.bounds import TINY, Bounded, gamma, through
from paconv.verification.decisions import check_decisions
from paconv.verification.integers import check_sums, units_of
from paconv.verification.layers import Difference, Layer, LayerResult, first
from paconv.verification.model import OpenModel
from paconv.verification.real_levels import check_counts, check_outputs, check_values

__all__ = ["check_layer"]


def check_layer(layer: Layer, reference: OpenModel, values: dict[str, np.ndarray]) -> LayerResult:
    """Compare one layer on the reference's own tensors (`values`, by name)."""
    M, N = layer.parameters["alpha"].shape[1] - 1, layer.parameters["beta"].shape[0] - 1
    result = LayerResult(layer.name, M, N)
    try:
        _check(layer, reference, values, result)
    except Difference as difference:
        result.difference = str(difference)
    return result


def _check(layer: Layer, reference: OpenModel, values: dict[str, np.ndarray], result: LayerResult) -> None:
    shape = layer.attributes["weight_shape"]
    codes = unpack_codes(layer.parameters["W"], prod(shape)).reshape(shape)
    if codes.max() >= len(layer.attributes["weight_masks"]):
        raise Difference(f"weights: code {codes.max()} has no plane mask")
    levels = activation_levels(values[layer.X], layer.parameters["v"], layer.parameters["sign"])
    if levels.shape != values[layer.A].shape:
        raise Difference(
            f"decisions: X has shape {levels.shape}, the reference's quantized activation {values[layer.A].shape}"
        )
    integers = integer_levels(layer.attributes, layer.parameters)
    if integers is None:
        check_values(layer, codes, values)
        check_decisions(layer, levels, reference, values, result)
        check_counts(layer, codes, levels, values, result)
        check_outputs(layer, codes, levels, reference, values, result)
    else:
        units = units_of(layer, integers, values)
        check_decisions(layer, levels, reference, values, result)
        check_sums(layer, integers, units, levels, reference, values, result)
    _check_reference(layer, reference, values)


def _check_reference(layer: Layer, reference: OpenModel, values: dict[str, np.ndarray]) -> None:
    A, W_bar, Y = (values[name] for name in (layer.A, layer.W_bar, layer.Y))
    conv = convolve(A, W_bar, layer.attributes)
    absolute = convolve(np.abs(A), np.abs(W_bar), layer.attributes)
    K = prod(W_bar.shape[1:])
    bias = layer.offset(reference)
    terms = K + 1 + bool(bias.any())
    y = Bounded(conv + bias, gamma(terms) * (absolute + np.abs(bias)) + TINY * K)
    for node, source in reference.path(layer.conv.output[0], layer.Y):
        y = through(node, y, reference.constants, source)
    if Y.shape != y.value.shape:
        raise Difference(f"outputs: shape {y.value.shape} instead of {Y.shape}")
    wrong = ~(np.abs(Y - y.value) <= y.error) & ~np.asarray(y.lost)
    if wrong.any():
        at = first(wrong)
        raise Difference(
            f"outputs: the reference itself has {Y[at]} at {at} instead of {y.value[at]} +- "
            f"{np.broadcast_to(y.error, Y.shape)[at]:.3g}"
        )
