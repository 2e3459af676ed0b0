"""The formats of level codes: how many digits of how many bits, and what shares a word of 32 bits."""

from __future__ import annotations

from dataclasses import dataclass

from paconv.bits import WORD_BITS

__all__ = ["FORMATS", "Format"]


@dataclass(frozen=True)
class Format:
    """D digits of `digit_bits` bits a code; `number` names it among the variants of kernels. exact: whether it may
    stand for any levels (see kernels/coding.py for when it does); a format that is not serves evenly spaced levels, and
    whoever asks for "codes-fast".
    """

    name: str
    number: int
    D: int
    digit_bits: int
    exact: bool

    @property
    def channels(self) -> int:
        """Channels whose digits share a word."""
        return WORD_BITS // self.digit_bits

    @property
    def spans(self) -> bool:
        """Whether sums of products must be taken in spans to fit int32."""
        return self.digit_bits == 16


FORMATS = {
    f.name: f
    for f in (
        Format("byte", 1, 1, 8, exact=False),
        Format("word", 2, 1, 16, exact=True),
        Format("two-bytes", 3, 2, 8, exact=True),
    )
}
