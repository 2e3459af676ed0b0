"""A model of this host: seconds per unit of work, fitted to measured times.

The units are those of paconv.cost.host.work; a prediction is the sum over units of count * rate. Every rate is
fitted to times measured on this host, so every latency made from them is a prediction, not a measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paconv.bits import WORD_BITS
from paconv.cost.host.work import CODE_UNITS, FLOAT_UNITS, GATHER_UNITS, PLANE_UNITS
from paconv.errors import ModelError

__all__ = ["HostModel"]

_VERSION = 3


@dataclass(frozen=True)
class HostModel:
    """Rates of a machine. Every rate is in seconds."""

    identity: Mapping[str, str | int]
    """Which machine; see paconv.measure.machine."""
    gather: Mapping[str, float]
    """Rates by unit (GATHER_UNITS)."""
    planes: Mapping[tuple[int, int], Mapping[str, float]]
    """(M, N) -> rates by unit (PLANE_UNITS)."""
    codes: Mapping[str, float]
    """Rates by unit (CODE_UNITS)."""
    real: Mapping[str, float]
    """Rates by unit (FLOAT_UNITS)."""
    element: float
    """Moving one element to or from memory."""
    integer_mac: float
    """One multiply-accumulate of onnxruntime's 8-bit convolution."""
    fit_errors: Mapping[str, float] = field(default_factory=dict)
    """Kernel -> median relative error of the fit on the times it was made from."""

    @property
    def threads(self) -> int:
        return int(self.identity["threads"])

    def bit_seconds(self, M: int, N: int) -> float:
        """Seconds that AND + popcount of one bit take at (M, N) in the inner loop."""
        return self.planes[M, N]["word"] / WORD_BITS

    def as_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "version": _VERSION,
            "identity": dict(self.identity),
            "seconds": {
                "gather": dict(self.gather),
                "planes": {f"{M}x{N}": dict(rates) for (M, N), rates in sorted(self.planes.items())},
                "codes": dict(self.codes),
                "real": dict(self.real),
                "element": self.element,
                "integer_mac": self.integer_mac,
            },
            "fit_errors": dict(self.fit_errors),
        }

    @classmethod
    def from_data(cls, data: Any) -> HostModel:
        """Inverse of as_data. Raises ModelError if `data` is something else."""
        try:
            if data["version"] != _VERSION:
                raise ModelError(f"expected version {_VERSION}; found {data['version']}")
            rates = data["seconds"]
            planes = {}
            for name, found in rates["planes"].items():
                M, N = map(int, name.split("x"))
                planes[M, N] = _rates(found, PLANE_UNITS)
            return cls(
                identity=dict(data["identity"]),
                gather=_rates(rates["gather"], GATHER_UNITS),
                planes=planes,
                codes=_rates(rates["codes"], CODE_UNITS),
                real=_rates(rates["real"], FLOAT_UNITS),
                element=_rate(rates["element"]),
                integer_mac=_rate(rates["integer_mac"]),
                fit_errors={str(name): float(error) for name, error in data["fit_errors"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"expected the rates of a host model; found {type(error).__name__}: {error}") from error


def _rates(found: Mapping[str, Any], units: tuple[str, ...]) -> dict[str, float]:
    return {unit: _rate(found[unit]) for unit in units}


def _rate(value: Any) -> float:
    rate = float(value)
    if not 0 <= rate < float("inf"):
        raise ValueError(f"a rate of {rate} seconds")
    return rate
