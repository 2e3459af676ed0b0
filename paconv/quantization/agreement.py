"""How far the quantized network's outputs are from the float network's on the samples. No labels are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, log10

import numpy as np

__all__ = ["OutputAgreement", "agreements", "decibels"]


@dataclass(frozen=True)
class OutputAgreement:
    """One output."""

    name: str
    """Of the graph's output."""
    error: float
    """Squared difference relative to the float output's variance, over all of its values."""
    same_choice: float | None
    """Part of the places, from 0 to 1, where the largest value along the last axis is at the same index: of a
    classifier, the part of the samples with the same class. None for outputs of more than three axes and for integers.
    """

    @property
    def snr_db(self) -> float:
        """Signal-to-noise ratio in decibels."""
        return decibels(self.error)


def decibels(error: float) -> float:
    """Signal-to-noise ratio of a relative squared error."""
    return -10 * log10(error) if error > 0 else inf


def agreements(
    wanted: Mapping[str, Sequence[np.ndarray]], found: Mapping[str, Sequence[np.ndarray]]
) -> tuple[OutputAgreement, ...]:
    """Of each output, given per batch. Outputs whose shapes differ, as of detections that are left, are far apart."""
    result = []
    for name, batches in wanted.items():
        pairs = [(a, b) for a, b in zip(batches, found[name], strict=True) if a.dtype.kind == "f"]
        if not pairs:
            continue
        if any(a.shape != b.shape for a, b in pairs):
            result.append(OutputAgreement(name, inf, None))
            continue
        values = np.concatenate([a.ravel() for a, _ in pairs]).astype(np.float64)
        other = np.concatenate([b.ravel() for _, b in pairs]).astype(np.float64)
        power = ((values - values.mean()) ** 2).sum() if values.size else 0.0
        difference = ((values - other) ** 2).sum()
        error = float(difference / power) if power > 0 else 0.0 if difference == 0 else inf
        chooses = pairs[0][0].ndim in (2, 3) and pairs[0][0].shape[-1] > 1
        same = [(a.argmax(-1) == b.argmax(-1)).ravel() for a, b in pairs] if chooses else []
        result.append(OutputAgreement(name, error, float(np.concatenate(same).mean()) if same else None))
    return tuple(result)
