"""Packages that only parts of paconv need, and the line that tells which to install when one isn't there."""

from __future__ import annotations

from paconv.errors import PaconvError

__all__ = ["missing_package"]

_EXTRAS = {
    "PIL": "train",
    "matplotlib": "plot",
    "numba": "build",
    "onnxscript": "torch",
    "scipy": "train",
    "sklearn": "train",
    "tensorboard": "train",
    "torch": "torch",
}
"""Package -> the extra of paconv that installs it."""


def missing_package(error: ModuleNotFoundError) -> PaconvError | None:
    """What to install, if `error` is about a package of one of paconv's extras; None for any other."""
    package = (error.name or "").partition(".")[0]
    if package not in _EXTRAS:
        return None
    return PaconvError(f'needs {package}: pip install "paconv[{_EXTRAS[package]}]"')
