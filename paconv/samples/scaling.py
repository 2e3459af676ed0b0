"""From bytes, 0 to 255, to what a network of floats reads:

value = (byte / 255 - mean) / std        mean = 0, std = 1 unless given; one value, or one a channel

Fractions of 255 lie between 0 and 1, and so does their mean; what deviates by more than 1 isn't in these units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paconv.errors import UsageError

__all__ = ["Scaling", "scaling"]


def scaling(mean: float | Sequence[float] | None, std: float | Sequence[float] | None) -> Scaling:
    """The scaling by these values, None where they aren't given. Raises UsageError if they have no meaning."""
    return Scaling(_channel_values("mean", mean), _channel_values("std", std))


def _channel_values(option: str, given: float | Sequence[float] | None) -> np.ndarray | None:
    if given is None:
        return None
    values = np.atleast_1d(np.asarray(given, np.float64))
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise UsageError(f"{option}: expected a value for all channels or one a channel, found {given!r}")
    text = ",".join(f"{value:g}" for value in values)
    hint = "; bytes are taken as fractions of 255: divide by that" if (values > 1).any() else ""
    if option == "mean" and not ((0 <= values) & (values <= 1)).all():
        raise UsageError(f"mean: expected values from 0 to 1, found {text}{hint}")
    if option == "std" and not ((0 < values) & (values <= 1)).all():
        raise UsageError(f"std: expected values above 0, up to 1, found {text}{hint}")
    return values


@dataclass
class Scaling:
    """From bytes (S, C, H, W), or (S, H, W, C), to what a network reads."""

    mean: np.ndarray | None
    """(1,) or (C,) float64; None for 0."""
    std: np.ndarray | None
    """(1,) or (C,) float64; None for 1."""
    axis: int | None = None
    """Of channels; None as long as there are no bytes to scale."""

    def for_bytes(self, name: str, shape: tuple[int, ...]) -> None:
        """Remember that bytes of this shape are to be scaled. Raises UsageError if mean or std don't fit them."""
        self.axis = -1 if len(shape) == 4 and shape[1] not in (1, 3) and shape[3] in (1, 3) else 1
        channels = shape[self.axis] if len(shape) > 1 else 1
        for option, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, channels):
                raise UsageError(
                    f"{option}: expected 1 value or {channels}, for the channels of input {name}, found {len(values)}"
                )

    def check_used(self, where: str) -> None:
        """Raise UsageError if mean or std were given for nothing."""
        if self.axis is None and not (self.mean is None and self.std is None):
            raise UsageError(
                f"{where}: mean and std are for bytes (uint8) that a network of floats reads; these values are taken "
                "as they are, so leave mean and std out"
            )

    def __call__(self, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """`values` in this dtype; scaled where bytes become floats."""
        if values.dtype != np.uint8 or dtype.kind != "f":
            with np.errstate(over="ignore"):
                return np.ascontiguousarray(values, dtype)
        mean, std = (np.float64(default) if v is None else self._along(v, values.ndim)
                     for v, default in ((self.mean, 0), (self.std, 1)))  # fmt: skip
        scale, offset = 1 / (255 * std), -mean / std
        return np.asarray(values * scale.astype(dtype) + offset.astype(dtype), dtype)

    def _along(self, values: np.ndarray, ndim: int) -> np.ndarray:
        return values if self.axis == -1 or len(values) == 1 else values.reshape(-1, *[1] * (ndim - 2))
