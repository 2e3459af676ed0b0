"""What a quantization of a trained network is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from paconv.bits import MAX_PLANES
from paconv.errors import UsageError
from paconv.grid import DEFAULT_GRID, GridChoice, checked_grid, largest_integers
from paconv.quantization.activation_levels import LevelChoice

__all__ = ["MOST_DIGITS", "Settings"]

MOST_DIGITS = 5
"""Of a weight: the exported graph compares each with 2^M - 1 endpoints, 0.3 GB for a layer of 2.4 million weights."""


@dataclass(frozen=True)
class Settings:
    """Levels and method. Raises UsageError for values that there are not."""

    M: int = 4
    """Weight planes: 2, 4, 6 or 8; 2 to MOST_DIGITS of digits."""
    N: int | None = 5
    """Activation planes, 1 to 8; None for real activations."""
    digits: bool = False
    """Whether planes are the binary digits of 2^M and 2^N evenly spaced levels, which are integers times a unit by
    themselves; otherwise each level but 0 has a plane of its own.
    """
    grid: GridChoice = DEFAULT_GRID
    """The integers that levels are times a unit; None for real levels."""
    fast: bool = False
    """Leave out the regression and the error feedback: levels, and a least-squares scale and bias per channel."""
    signed: bool | None = None
    """Levels below 0 too: None where a tensor may be negative, True and False everywhere and nowhere."""
    by_channel: bool = True
    """Channels of an activation may be shifted and stretched before its levels (paconv.quantization.channels): by
    their means where they may be negative and no reader pads, by powers of two where their widths differ much.
    """
    seed: int = 0
    """Of the windows that are sampled."""

    def __post_init__(self) -> None:
        if self.digits and (isinstance(self.M, bool) or self.M not in range(2, MOST_DIGITS + 1)):
            raise UsageError(
                f"M, the number of weight planes, must be 2 to {MOST_DIGITS} where they are digits; found {self.M!r}"
            )
        if not self.digits and (isinstance(self.M, bool) or self.M not in (2, 4, 6, 8)):
            raise UsageError(f"M, the number of weight planes, must be 2, 4, 6 or 8; found {self.M!r}")
        if self.N is not None and (isinstance(self.N, bool) or self.N not in range(1, MAX_PLANES + 1)):
            raise UsageError(
                f"N, the number of activation planes, must be 1..8, or full precision (None, -N full); found {self.N!r}"
            )
        if self.digits and self.grid != DEFAULT_GRID:
            raise UsageError("grid (--grid): digits say themselves how large integers are; leave one of the two out")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise UsageError(f"seed must be a whole number from 0; found {self.seed!r}")
        checked_grid(self.grid)

    @property
    def weight_levels(self) -> int:
        """Of weights, besides 0; even."""
        return 2**self.M - 2 if self.digits else self.M

    @property
    def activation(self) -> LevelChoice | None:
        """Of activations; None for real ones."""
        if self.N is None:
            return None
        _, B = self.largest
        return LevelChoice(self.N, B, self.digits)

    @property
    def largest(self) -> tuple[int | None, int | None]:
        """The largest integers (A, B) of weights and activations; None for real levels."""
        if self.grid is None:
            return None, None
        if isinstance(self.grid, tuple):
            return self.grid
        if self.digits:
            return 2 ** (self.M - 1), None if self.N is None else 2**self.N - 1
        return largest_integers(self.N or 0)
