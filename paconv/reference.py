"""Plain numpy semantics of every op, reading like the equations. Slow on purpose; fast kernels are compared with it.

Integer results (codes, planes, counts, sums of integer levels) are exact, and so is what `finish_conv` makes of integer
sums. Other real results are float64 sums of float32 operands, to be compared within a tolerance derived from
`absolute_sum` (see each test or `paconv.verify`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from paconv.bits import mask_bits, unpack_codes
from paconv.errors import OpError
from paconv.ops.integer_levels import IntegerLevels, integer_levels
from paconv.ops.pa_bit_conv import check_parameters, output_shape
from paconv.ops.values import check_clip, check_endpoints, check_finite

__all__ = [
    "BitConvResult",
    "activation_levels",
    "columns",
    "convolve",
    "convolve_levels",
    "finish_conv",
    "finish_level_conv",
    "integer_sums",
    "pa_activation",
    "pa_bit_conv",
    "pa_depthwise_conv",
    "pa_level_max_pool",
    "pa_levels",
    "pa_weight",
    "planes_of",
    "windows",
]


def pa_weight(W: np.ndarray, u: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """levels[#{i: u_i < W}]: W (...) float32, u (M,), levels (M+1,) -> (...) float32. Eqs. 6, 7."""
    return levels[(W[..., None] > u).sum(-1)]


def pa_activation(x: np.ndarray, v: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """levels[#{j: v_j <= x}]: x (...) float32, v (N,), levels (N+1,) -> (...) float32. Eq. 10."""
    return levels[(x[..., None] >= v).sum(-1)]


def activation_levels(X: np.ndarray, v: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """Level index of each activation. X (B, C, H, W) float32, v (1|C, E), sign (1|C,) int8 -> (B, C, H, W) uint8."""
    signed = X * sign.astype(np.float32)[None, :, None, None]
    level = np.zeros(X.shape, np.uint8)
    for endpoint in v.T:  # (1|C,)
        level += signed >= endpoint[None, :, None, None]
    return level


def planes_of(codes: np.ndarray, masks, planes: int) -> np.ndarray:
    """Planes of codes: codes (...) uint8 -> (planes, ...) float64 of 0 and 1. Eqs. 16, 18 for one-hot masks."""
    return np.moveaxis(mask_bits(masks, planes)[codes], -1, 0)


def windows(x: np.ndarray, kernel, strides, pads, dilations) -> np.ndarray:
    """Zero-padded windows. x (B, C, H, W) -> (B, OH, OW, C, KH, KW), a view of the padded copy."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(2, 3))
    view = view[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    return view.transpose(0, 2, 3, 1, 4, 5)


def columns(x: np.ndarray, attributes: dict) -> np.ndarray:
    """Windows of x (B, C, H, W) as (group, B*OH*OW, C/g*KH*KW), in x's dtype."""
    shape, group = attributes["weight_shape"], attributes["group"]
    view = windows(x, shape[2:], *(attributes[name] for name in ("strides", "pads", "dilations")))
    size = view.shape[:3]
    split = view.reshape(*size, group, shape[1], *shape[2:]).transpose(3, 0, 1, 2, 4, 5, 6)
    return np.ascontiguousarray(split).reshape(group, prod(size), prod(shape[1:]))


def convolve(x: np.ndarray, W: np.ndarray, attributes: dict) -> np.ndarray:
    """Convolution in float64, exact for integers below 2**53: x (B, C, H, W), W (O, C/g, KH, KW) -> (B, O, OH, OW)."""
    group, shape = attributes["group"], attributes["weight_shape"]
    weights = W.astype(np.float64).reshape(group, shape[0] // group, -1).transpose(0, 2, 1)
    size = output_shape(x.shape, shape, *(attributes[name] for name in ("strides", "pads", "dilations")))
    Y = np.empty(size)
    for image, y in zip(x, Y, strict=True):  # one by one: windows take KH*KW times the memory of an image
        product = np.matmul(columns(image[None].astype(np.float64), attributes), weights)  # (group, OH*OW, O/g)
        y[:] = product.transpose(0, 2, 1).reshape(size[1:])
    return Y


@dataclass(frozen=True)
class BitConvResult:
    """What PABitConv computes, piece by piece."""

    levels: np.ndarray
    """(B, C, H, W) uint8."""
    counts: np.ndarray
    """(B, M, N, O, OH, OW) int64: |T_i & V_j|."""
    Y: np.ndarray
    """(B, O, OH, OW) float64."""
    absolute_sum: np.ndarray
    """(B, O, OH, OW) float64: the sum of the absolute values of all terms of Y, which bounds rounding."""
    exact: np.ndarray | None
    """(B, O, OH, OW) float32: Y bit for bit where the levels are integers (paconv.ops.integer_levels), else None."""


def pa_bit_conv(X: np.ndarray, *, attributes: dict, inputs: dict[str, np.ndarray]) -> BitConvResult:
    """PABitConv on X (B, C, H, W) float32. attributes and inputs as in ops.pa_bit_conv.check_parameters.

    Raises OpError on malformed parameters.
    """
    check_parameters(attributes, inputs)
    channels = attributes["weight_shape"][1] * attributes["group"]
    if X.ndim != 4 or X.shape[1] != channels:
        raise OpError(f"PABitConv: expected X of shape (B, {channels}, H, W); found {X.shape}")
    return convolve_levels(activation_levels(X, inputs["v"], inputs["sign"]), attributes=attributes, inputs=inputs)


def convolve_levels(levels: np.ndarray, *, attributes: dict, inputs: dict[str, np.ndarray]) -> BitConvResult:
    """PABitConv from the levels on: levels (B, C, H, W) uint8. OpError for a weight code without a mask."""
    shape = attributes["weight_shape"]
    out = shape[0]
    alpha = np.broadcast_to(inputs["alpha"].astype(np.float64), (out, inputs["alpha"].shape[1]))
    beta = inputs["beta"].astype(np.float64)
    M, N = alpha.shape[1] - 1, beta.shape[0] - 1

    codes = unpack_codes(inputs["W"], prod(shape)).reshape(shape)
    if codes.max() >= len(attributes["weight_masks"]):
        raise OpError(f"PABitConv: weight codes up to {codes.max()}, but only {len(attributes['weight_masks'])} masks")
    T = planes_of(codes, attributes["weight_masks"], M)
    V = planes_of(levels, attributes["level_masks"], N)
    inside = np.ones(levels.shape)

    def pair(weight_plane: np.ndarray, plane: np.ndarray) -> np.ndarray:  # |T & V|
        return convolve(plane, weight_plane, attributes)

    counts = np.stack([np.stack([pair(T[i], V[j]) for j in range(N)], 1) for i in range(M)], 1)
    ones = np.ones_like(T[0])
    per_channel = alpha.T[:, None, :, None, None]
    terms = [per_channel[i + 1] * beta[j + 1] * counts[:, i, j] for i in range(M) for j in range(N)]
    terms += [per_channel[0] * beta[j + 1] * pair(ones, V[j]) for j in range(N)]
    terms += [beta[0] * per_channel[i + 1] * pair(T[i], inside) for i in range(M)]
    terms += [per_channel[0] * beta[0] * pair(ones, inside)]
    scale = inputs["scale"].astype(np.float64)[None, :, None, None]
    bias = inputs["bias"].astype(np.float64)[None, :, None, None]
    Y = scale * sum(terms) + bias
    absolute_sum = np.abs(scale) * sum(np.abs(t) for t in terms) + np.abs(bias)
    integers = integer_levels(attributes, inputs)
    exact = None
    if integers is not None:
        exact = finish_conv(integer_sums(levels, integers, attributes), inputs["scale"], inputs["bias"])
    return BitConvResult(levels, counts.astype(np.int64), Y, absolute_sum, exact)


def integer_sums(levels: np.ndarray, integers: IntegerLevels, attributes: dict) -> np.ndarray:
    """sum_k w a of integer levels, exact: levels (B, C, H, W) uint8 -> (B, O, OH, OW) int64. They are below 2**31."""
    return convolve(integers.activations[levels], integers.weights, attributes).astype(np.int64)


def finish_conv(sums: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """float32(float32(scale_o * float32(sum)) + bias_o): sums (B, O, OH, OW) int64, scale and bias (O,) float32."""
    return scale[:, None, None] * sums.astype(np.float32) + bias[:, None, None]


def pa_levels(X: np.ndarray, v: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """PALevels: X (B, H, W, C) float32, v (1|C, E), sign (1|C,) int8 -> (B, H, W, C) uint8. OpError for a wrong v."""
    check_endpoints("PALevels", "v", v)
    return activation_levels(X.transpose(0, 3, 1, 2), v, sign).transpose(0, 2, 3, 1)


def pa_depthwise_conv(X: np.ndarray, W: np.ndarray, bias: np.ndarray, strides, pads, dilations) -> np.ndarray:
    """PADepthwiseConv up to its finish: X (B, H, W, C), W (C, 1, KH, KW), bias (C,) or (1,), all float32 -> S
    (B, OH, OW, C) float32, every product and every sum rounded, in the op's order. OpError where W or bias is not
    finite.
    """
    check_finite("PADepthwiseConv", W=W, bias=bias)
    kernel = W.shape[2:]
    seen = windows(X.transpose(0, 3, 1, 2), kernel, strides, pads, dilations)
    S = np.broadcast_to(bias, seen.shape[:4]).copy()
    for kh, kw in np.ndindex(*kernel):
        S += W[:, 0, kh, kw] * seen[..., kh, kw]
    return S


def finish_level_conv(S: np.ndarray, R: np.ndarray, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """PALevelConv and PADepthwiseConv from their sums on: S (B, OH, OW, O) float32, R float32 as in the op.

    Returns Y (B, OH, OW, O) float32, L1 and L2 (B, OH, OW, O) uint8, each step rounded to float32. Raises OpError for a
    clip or endpoints that the op refuses.
    """
    check_clip("the finish", inputs["clip"])
    low, high = inputs["clip"]
    Y = np.minimum(np.maximum(S + R, low), high)
    return {"Y": Y} | {f"L{k}": pa_levels(Y, inputs[f"v{k}"], inputs[f"sign{k}"]) for k in (1, 2)}


def pa_level_max_pool(L: np.ndarray, kernel, strides, pads) -> np.ndarray:
    """PALevelMaxPool: L (B, H, W, C) uint8 -> (B, OH, OW, C) uint8."""
    return windows(L.transpose(0, 3, 1, 2), kernel, strides, pads, (1, 1)).max((4, 5))
