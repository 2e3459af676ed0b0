"""One measurement of the whole comparison, and how the report finds those it needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from paconv.bench.output_error import OutputError
from paconv.measure.timing import Timing

__all__ = ["FLOAT", "INT8", "LARQ", "PA", "SIGNS", "Measured", "find"]

FLOAT, INT8, LARQ, PA = "float", "int8", "larq", "pa"
"""What computes: onnxruntime in float, onnxruntime's 8-bit integers, Larq Compute Engine, paconv."""

SIGNS = "signs"
"""Levels -1 and +1 of weights and activations at (1, 1), as in Bi-Real Net. PA's own have 0 among them."""


@dataclass(frozen=True)
class Measured:
    """A time, and what it is the time of."""

    subject: str
    """The layer's shape, or the network's name."""
    what: str
    """FLOAT, INT8, LARQ or PA."""
    threads: int
    """Of onnxruntime's pool."""
    timing: Timing
    """Seconds per call."""
    macs: int = 0
    """Per call; 0 if they weren't counted."""
    planes: tuple[int, int] | None = None
    """Of PA: (M, N)."""
    levels: str = ""
    """Of PA: "" for its own, or SIGNS."""
    kernel: str = ""
    """Of PA: the kernel that was asked for, a name in CHOICES or "auto"; among layers a name only."""
    ran: tuple[tuple[str, int], ...] = ()
    """Of PA: (kernel, number of nodes that ran it)."""
    coding: str = ""
    """Of PA: how a layer's level codes were multiplied."""
    chosen: bool = False
    """Of PA: whether a session would choose this kernel by itself."""
    nodes_best: float | None = None
    """Of PA: the sum of the best seconds of a network's PABitConv nodes alone."""
    form: str = ""
    """Of INT8: the form's name."""
    error: OutputError | None = None
    """Of INT8: against float, on the input that was timed."""
    u8s8_error: OutputError | None = None
    """Of INT8: that of U8S8, where it saturates."""
    spinning: bool = False
    """Whether it was timed alone with its threads spinning, as when it serves, not in turns."""

    @property
    def macs_per_second(self) -> float:
        return self.macs / self.timing.best

    def as_data(self) -> dict[str, Any]:
        return asdict(self) | {"ran": dict(self.ran)}


def find(measured: Iterable[Measured], **wanted: Any) -> Measured | None:
    """The first whose fields have these values, None if there is none."""
    return next((m for m in measured if all(getattr(m, key) == value for key, value in wanted.items())), None)
