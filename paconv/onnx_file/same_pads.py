"""The explicit pads that a Conv's auto_pad of SAME_UPPER or SAME_LOWER stands for."""

from __future__ import annotations

from typing import overload

__all__ = ["same_pads"]


@overload
def same_pads(mode: str, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]: ...


@overload
def same_pads(mode: str, size: None, kernel: int, stride: int, dilation: int) -> tuple[int, int] | None: ...


def same_pads(mode: str, size: int | None, kernel: int, stride: int, dilation: int) -> tuple[int, int] | None:
    """(before, after) along one axis of `size` n, with stride s, dilation d and kernel k.

    SAME asks for ceil(n / s) outputs, hence

        total = max((ceil(n / s) - 1) s + d (k - 1) + 1 - n, 0),

    half of it before and half after, the odd one after (SAME_UPPER) or before (SAME_LOWER). With s = 1 that is
    d (k - 1) for every n, so then the size may be unknown (None); otherwise the answer is None too.
    """
    reach = dilation * (kernel - 1)
    if stride == 1:
        total = reach
    elif size is None:
        return None
    else:
        total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if mode == "SAME_UPPER" else (large, small)
