"""Levels of values: how many endpoints of its channel each has reached.

    L[c] = #{ e : sign_c * Y[c] >= v[c, e] }

Thresholds (E, LANES) hold the endpoints of LANES channels, NaN for channels that don't exist, and flips (LANES,) the
sign bit of channels with sign -1: multiplying by -1 is turning that bit.

EVEN_ROWS more rows say where the endpoints of a channel are evenly apart, as those of binary digits are: scale s,
offset o, and margin m, the same in all lanes (kernels/native/finish.c), with

    f(y) = s y + o, rounded twice,      |f(v_e) - e| <= m      for e = 1..E

f never falls as y rises. So f(y) > e + m >= f(v_e) says that y >= v_e, and f(y) < e - m <= f(v_e) that y < v_e: where
f(y) is further than m from every integer, L = floor(f(y)), exactly. Where it isn't, and where m is -1, the endpoints
are compared with one by one.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from paconv.kernels.arguments import LANES
from paconv.kernels.emit.loops import turns
from paconv.kernels.emit.vectors import (
    BYTES,
    FLOATS,
    VECTOR,
    WORDS,
    at,
    broadcast,
    const,
    element,
    f32,
    i1,
    i32,
    load,
    plus,
    vector,
)

__all__ = ["even_levels", "levels_of"]


def levels_of(builder, values: list, thresholds, flips, E) -> list:
    """The levels (LANES,) uint8 of vectors of values."""
    flip = load(builder, flips, WORDS)
    signed = [builder.bitcast(builder.xor(builder.bitcast(value, WORDS), flip), FLOATS) for value in values]
    counts = [cgutils.alloca_once(builder, WORDS) for _ in values]
    unsure = cgutils.alloca_once(builder, i1)
    builder.store(const(1, i1), unsure)
    even = plus(builder, thresholds, E, VECTOR)
    margin = builder.load(at(builder, plus(builder, even, 2, VECTOR), f32), align=4)
    with builder.if_then(builder.fcmp_ordered(">=", margin, const(0.0, f32))):
        scale, offset = (load(builder, plus(builder, even, row, VECTOR), FLOATS) for row in range(2))
        for level, place in zip(even_levels(builder, signed, scale, offset, margin, E, unsure), counts, strict=True):
            builder.store(level, place)
    with builder.if_then(builder.load(unsure)):
        for reached in counts:
            builder.store(const(0, WORDS), reached)
        with turns(builder, E) as loop:
            threshold = element(builder, thresholds, loop.index, FLOATS)
            for value, reached in zip(signed, counts, strict=True):
                one = builder.sext(builder.fcmp_ordered(">=", value, threshold), WORDS)
                builder.store(builder.sub(builder.load(reached), one), reached)
    return [builder.trunc(builder.load(reached), BYTES) for reached in counts]


def even_levels(builder, values: list, scale, offset, margin, E, unsure) -> list:
    """floor(f(y)) (LANES,) int32 of vectors of values; in `unsure`, whether any is within the margin of an integer."""
    half, one = const(0.5, FLOATS), const(1.0, FLOATS)
    last = builder.fadd(builder.sitofp(builder.trunc(E, i32), f32), const(0.5, f32))
    bounds = (">", half), ("<", broadcast(builder, last, FLOATS))
    margins, any_near, found = broadcast(builder, margin, FLOATS), const(0, vector(i1, LANES)), []
    for value in values:
        place = builder.fadd(builder.fmul(value, scale), offset)
        for comparison, bound in bounds:  # NaN becomes the first
            place = builder.select(builder.fcmp_ordered(comparison, place, bound), place, bound)
        found.append(builder.fptosi(place, WORDS))
        above = builder.fsub(place, builder.sitofp(found[-1], FLOATS))
        for distance in (above, builder.fsub(one, above)):
            any_near = builder.or_(any_near, builder.fcmp_ordered("<=", distance, margins))
    mask = builder.bitcast(any_near, ir.IntType(LANES))
    builder.store(builder.icmp_unsigned("!=", mask, ir.Constant(ir.IntType(LANES), 0)), unsure)
    return found
