"""A layer whose levels aren't integers: values, counts and outputs.

values     table(alpha)[code] == W_bar and table(beta) == the levels of the reference                        exactly
counts     |T_i & V_j| of the kernels == the product of the planes                                           exactly
outputs    |Y - y| <= gamma_{t+8} (|s| S + |b|), y the float64 result from the levels of X, s and b what follows the
           convolution, S the sum of the absolute terms that the kernel adds (kernels/planes/scale.py): the
           convolution of |alpha_0| + sum_i |alpha_i| T_i with |beta_0| + sum_j |beta_j| V_j, for PA sum |w a|.
           There are t = M N + 1 terms, with offsets t = M N + N + KH KW + 1, rounded in the kernel; scale and bias
           are narrowed once. Among the subnormal numbers h = 2**-150 is lost by a coefficient (times its count, at most
           K), a term, the scale (times S), the product and the bias: h (|s| t (K + 1) + S + 2) more.
"""

from __future__ import annotations

from math import prod

import numpy as np

from paconv import ops
from paconv.bits import level_table, mask_bits
from paconv.ops.pa_bit_conv import PA_BIT_CONV
from paconv.reference import columns, convolve
from paconv.verification.bounds import TINY, folded, gamma
from paconv.verification.layers import Difference, Layer, LayerResult, first
from paconv.verification.model import OpenModel, run_model
from paconv.verification.one_node import one_node

__all__ = ["check_counts", "check_outputs", "check_values"]


def check_values(layer: Layer, codes: np.ndarray, values: dict[str, np.ndarray]) -> None:
    """Compare the weights and the activation levels. codes: (O, C/g, KH, KW), each with a mask."""
    W_bar, levels = values[layer.W_bar], values[layer.real_levels]
    w = _by_code(level_table(layer.parameters["alpha"], layer.attributes["weight_masks"]), codes)
    differs = w != W_bar
    if differs.any():
        at = first(differs)
        raise Difference(f"weights: {int(differs.sum())} differ, first at {at}: {w[at]} instead of {W_bar[at]}")
    table = level_table(layer.parameters["beta"], layer.attributes["level_masks"])
    if not np.array_equal(table, levels):
        raise Difference(f"decisions: level values {table.tolist()} instead of {levels.tolist()}")


def check_counts(
    layer: Layer, codes: np.ndarray, levels: np.ndarray, values: dict[str, np.ndarray], result: LayerResult
) -> None:
    """Image by image and activation plane by plane. Products of 0/1 planes in float32 are exact: below 2**24."""
    model = one_node(layer, ops.PA_BIT_CONV_COUNTS, 6)
    X, group, out = values[layer.X], layer.attributes["group"], len(codes)
    T = mask_bits(layer.attributes["weight_masks"], result.M)[codes].astype(np.float32)  # (O, C/g, KH, KW, M)
    T = np.moveaxis(T, -1, 0).reshape(result.M, group, out // group, -1).transpose(1, 3, 0, 2)
    T = np.ascontiguousarray(T).reshape(group, T.shape[1], -1)  # (group, K, M*O/g)
    V = mask_bits(layer.attributes["level_masks"], result.N).astype(np.float32)
    for image in range(len(X)):
        found = run_model(model, {"X": X[image : image + 1]}, ["out"], label=layer.name, plain=False)["out"][0]
        rows, width = found.shape[-2:]
        for j in range(result.N):
            plane = columns(V[:, j][levels[image : image + 1]], layer.attributes)
            expected = np.matmul(plane, T).reshape(group, rows, width, result.M, out // group)
            expected = expected.transpose(3, 0, 4, 1, 2).reshape(result.M, out, rows, width)
            differs = found[:, j] != expected
            if differs.any():
                i, *at = first(differs)
                raise Difference(
                    f"counts: {int(differs.sum())} differ, first of image {image}, planes i={i + 1}, j={j + 1} at "
                    f"(o, h, w) = {tuple(at)}: {found[i, j][tuple(at)]} instead of {int(expected[(i, *at)])}"
                )
        result.counts += found.size


def check_outputs(
    layer: Layer,
    codes: np.ndarray,
    levels: np.ndarray,
    reference: OpenModel,
    values: dict[str, np.ndarray],
    result: LayerResult,
) -> None:
    """Compare the node's output on the reference's X."""
    X, W_bar, Y = (values[name] for name in (layer.X, layer.W_bar, layer.Y))
    found = run_model(one_node(layer, PA_BIT_CONV, 4), {"X": X}, ["out"], label=layer.name, plain=False)["out"]
    if found.shape != Y.shape:
        raise Difference(f"outputs: shape {found.shape} instead of {Y.shape}")
    after = folded(reference.path(layer.conv.output[0], layer.Y), layer.offset(reference), reference.constants)
    y = after.slope * convolve(values[layer.real_levels][levels], W_bar, layer.attributes) + after.offset
    S, t, K = _absolute_terms(layer, codes, levels), _terms(layer), prod(layer.attributes["weight_shape"][1:])
    terms = np.abs(after.slope) * S + np.abs(after.offset)
    lost = TINY * (np.abs(after.slope) * t * (K + 1) + S + 2)
    bound, error = gamma(t + 8) * terms + lost, np.abs(found - y)
    result.largest_error = float(np.max(error / np.maximum(bound, np.finfo(np.float64).tiny), initial=0))
    wrong = ~(error <= bound)
    if wrong.any():
        at = first(wrong)
        raise Difference(
            f"outputs: {int(wrong.sum())} of {wrong.size} beyond their bound, first at {at}: {found[at]} instead of "
            f"{y[at]} (bound {bound[at]:.3g})"
        )


def _terms(layer: Layer) -> int:
    """t: the terms that the kernel adds to make one output."""
    alpha, beta = layer.parameters["alpha"], layer.parameters["beta"]
    planes = (alpha.shape[1] - 1) * (len(beta) - 1)
    with_offsets = alpha[:, 0].any() or beta[0] != 0
    return planes + 1 + (len(beta) - 1 + prod(layer.attributes["weight_shape"][2:]) if with_offsets else 0)


def _absolute_terms(layer: Layer, codes: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """S (B, O, OH, OW): the sum of the absolute values of these terms."""
    alpha, beta = (np.abs(layer.parameters[name]).astype(np.float64) for name in ("alpha", "beta"))
    weight_masks, level_masks = (layer.attributes[name] for name in ("weight_masks", "level_masks"))
    tables = alpha[:, :1] + alpha[:, 1:] @ mask_bits(weight_masks, alpha.shape[1] - 1).T
    a = beta[0] + mask_bits(level_masks, len(beta) - 1) @ beta[1:]
    return convolve(a[levels], _by_code(tables, codes), layer.attributes)


def _by_code(tables: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """tables (1 or O, codes) at codes (O, ...): the shape of `codes`."""
    tables = np.broadcast_to(tables, (len(codes), tables.shape[1]))
    return np.take_along_axis(tables, codes.reshape(len(codes), -1).astype(np.intp), 1).reshape(codes.shape)
