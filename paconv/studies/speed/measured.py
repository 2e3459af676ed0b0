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
    """subject: the layer's shape or the network's name; what: FLOAT, INT8, LARQ or PA.

    Of PA: planes (M, N); levels: "" for PA's or SIGNS; kernel: what was asked for, a name in CHOICES or "auto" (the
    layers list names only); ran: kernel -> number of nodes that ran it; coding: of a layer's level codes; chosen:
    whether the session would choose this kernel by itself; nodes_best: sum of the best seconds of a network's PABitConv
    nodes alone. Of INT8: form: its name; error: against float, on the input that was timed; u8s8_error: that of U8S8,
    where it saturates. spinning: timed alone, its threads spinning, as when it serves, in place of in turns. macs: of a
    call, 0 where they weren't counted.
    """

    subject: str
    what: str
    threads: int
    timing: Timing
    macs: int = 0
    planes: tuple[int, int] | None = None
    levels: str = ""
    kernel: str = ""
    ran: tuple[tuple[str, int], ...] = ()
    coding: str = ""
    chosen: bool = False
    nodes_best: float | None = None
    form: str = ""
    error: OutputError | None = None
    u8s8_error: OutputError | None = None
    spinning: bool = False

    @property
    def macs_per_second(self) -> float:
        return self.macs / self.timing.best

    def as_data(self) -> dict[str, Any]:
        return asdict(self) | {"ran": dict(self.ran)}


def find(measured: Iterable[Measured], **wanted: Any) -> Measured | None:
    """The first whose fields have these values, None if there is none."""
    return next((m for m in measured if all(getattr(m, key) == value for key, value in wanted.items())), None)
