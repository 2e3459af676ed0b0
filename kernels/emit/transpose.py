"""LANES x LANES words of 32 bits, rows for columns."""

from __future__ import annotations

from paconv.kernels.arguments import LANES
from paconv.kernels.emit.inline import emitted
from paconv.kernels.emit.vectors import FLOATS, VECTOR, const, indexes, load, plus, store

__all__ = ["load_rows", "transpose", "transposed"]


@emitted
def transpose(builder, rows, stride, out):
    """out[k, p] = rows[p, k], words of 32 bits: LANES rows `stride` bytes apart, 64-byte aligned; out (LANES,
    LANES).
    """
    for k, row in enumerate(transposed(builder, load_rows(builder, rows, stride))):
        store(builder, row, plus(builder, out, k, VECTOR))


def load_rows(builder, rows, stride) -> list:
    """LANES vectors `stride` bytes apart."""
    addresses = [builder.add(rows, builder.mul(stride, const(p))) for p in range(LANES)]
    return [load(builder, address, FLOATS) for address in addresses]


def transposed(builder, rows: list) -> list:
    """Four rounds of shuffles; round s exchanges the off-diagonal blocks of s x s among blocks of 2s x 2s."""
    rows = list(rows)
    for s in (1, 2, 4, 8):
        upper = indexes(LANES + k - s if k & s else k for k in range(LANES))
        lower = indexes(LANES + k if k & s else k + s for k in range(LANES))
        for p in range(LANES):
            if not p & s:
                a, b = rows[p], rows[p | s]
                rows[p] = builder.shuffle_vector(a, b, upper)
                rows[p | s] = builder.shuffle_vector(a, b, lower)
    return rows
