"""Why a convolution, or something beside it, was left as it is: stable codes and one sentence each."""

from __future__ import annotations

__all__ = ["REASONS", "explain"]

REASONS = {
    "converted": "Lowered by this run.",
    "already-converted": "It was in this form before this run.",
    # a convolution that stays real
    "real-weights": "No quantizer makes its weights, so it stays real.",
    "not-2d": "Its weight isn't of rank 4; only 2-D convolutions have a piecewise form.",
    "not-float32": "The weight, the endpoints or the levels aren't float32.",
    "weight-not-constant": "The PAWeight reads a weight, endpoints or levels that aren't initializers.",
    "malformed-weight-levels": "The PAWeight needs E >= 1 finite endpoints u, E+1 finite levels, and planes to match.",
    "non-finite-weights": "The weight holds NaN or infinity.",
    "no-zero-weight-level": "No planes are given, and none of the weight's levels is exactly 0, as PA's middle one is.",
    "more-than-8-weight-planes": "It has more than 8 weight planes (M > 8).",
    "levels-not-of-planes": "The levels aren't exactly the sums of plane coefficients that the node gives beside them.",
    "inside-subgraph": "It is inside an If, Loop or Scan body, which isn't rewritten.",
    "inside-function": "It is inside a model-local function, which isn't rewritten.",
    # a convolution that becomes weights-only
    "real-activations": "It doesn't read a PAActivation, but for zero padding; so only the weights are packed.",
    "endpoints-not-constant": "The PAActivation's endpoints or levels aren't initializers.",
    "malformed-activation-levels": "The PAActivation needs E >= 1 endpoints v, E+1 finite levels, and planes to match.",
    "level-zero-not-zero": "No planes are given, and the level below the first endpoint isn't 0.",
    "more-than-8-planes": "It has more than 8 activation planes (N > 8), or more than 255 endpoints.",
    "bias-not-constant": "The convolution's bias isn't a float32 initializer of one value per channel.",
    "dynamic-shape-auto-pad": "The pads of auto_pad SAME_* with a stride depend on the image's size, which is free.",
    "window-too-large": "A window has more than 2**24 products, beyond exact float32 counts.",
    # batch norm, multiplication or addition left beside a converted convolution
    "read-by-others": "The batch norm (or per-channel constant) is read by something besides endpoints, so it stays.",
    "parameters-not-constant": "The batch norm's parameters aren't float32 initializers.",
    "training-mode": "The batch norm is in training mode.",
    "non-finite-parameters": "The folded scale or offset isn't finite (NaN, infinity, or variance + epsilon <= 0).",
    # a packed convolution, or something behind it, that isn't fused with its neighbours
    "not-linked": "No other PABitConv is linked with it, directly or over what a chain takes in or works through.",
    "depthwise-not-plain": "The depthwise Conv has several outputs a channel, or constants that aren't finite float32.",
    "beside-channel-first": "It reads more tensors that exist channel-first only, so it stays channel-first.",
    "mean-of-free-size": "The mean is over rows and columns of unknown number, so it stays channel-first.",
    "moved-for-channel-first": "It moves data, and nothing behind it works channel-last.",
    "moved-read-by-others": "The moved tensor is read by something besides comparisons too.",
    "comparisons-differ": "Results of a move that hold the same values are compared in different ways.",
    "channels-not-known": "Comparisons behind a move differ by channel, and the number of channels isn't known.",
    "moved-compared-often": "What it moves would be compared in more than two ways, more than a convolution does.",
    "pad-of-no-level": "The padding isn't zero, or zero has another level in one channel than in another.",
    "result-read-by-others": "The convolution's result is read by something else too, so what follows stays a node.",
    "finish-is-full": "The convolution has taken in a residual or bounds already, and this one comes behind them.",
    "residual-of-other-shape": "The operand of the addition isn't known to have exactly the result's shape.",
    "bounds-not-constant": "The bounds of the Clip aren't single numbers in initializers.",
    "pool-read-by-others": "The pooled tensor is read by something besides comparisons too.",
    "comparison-turned-round": "A comparison behind the pooling has a sign of -1, so levels descend with the value.",
    "pool-not-plain": "The pooling has dilations, indices, or windows that plain padding can't express.",
    "more-than-2-comparisons": "More than two different comparisons read the result; the others stay PALevels nodes.",
}
"""Code -> explanation. Codes never change their meaning."""


def explain(code: str) -> str:
    """The sentence for a reason code."""
    return REASONS[code]
