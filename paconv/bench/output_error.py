"""How far a model's outputs are off another's on the same inputs, absolutely and in shares of the largest output.

largest = max |got - want|        relative = largest / max |want|        of the output whose share is the largest
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

__all__ = ["OutputError", "output_error"]


@dataclass(frozen=True)
class OutputError:
    """How far outputs are off another model's."""

    largest: float
    """max |got - want|."""
    relative: float
    """Over the other's largest value: 0 if nothing differs, infinite where outputs that should all be 0 are not."""

    def __str__(self) -> str:
        """For a person."""
        return f"{self.largest:.3g} ({self.relative:.1%})"

    def as_data(self) -> dict[str, float]:
        return asdict(self)


def output_error(want: Sequence[np.ndarray], got: Sequence[np.ndarray]) -> OutputError | None:
    """Of outputs in the same order, None where their number, shapes or types don't allow it."""
    pairs = list(zip(want, got, strict=False))
    alike = all(a.shape == b.shape and a.size and a.dtype.kind == b.dtype.kind == "f" for a, b in pairs)
    if not pairs or len(want) != len(got) or not alike:
        return None
    return max((_error(a, b) for a, b in pairs), key=lambda error: error.relative)


def _error(want: np.ndarray, got: np.ndarray) -> OutputError:
    largest = float(np.abs(got.astype(np.float64) - want).max())
    scale = float(np.abs(want.astype(np.float64)).max())
    return OutputError(largest, largest / scale if scale else float("inf") if largest else 0.0)
