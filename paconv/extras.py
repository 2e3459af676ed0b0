"""Packages that only parts of paconv need, and the line that says which to install when one isn't there."""

from __future__ import annotations

from importlib.util import find_spec

from paconv.errors import PaconvError, UsageError

__all__ = ["check_installed", "check_matplotlib", "missing_package"]

_EXTRAS = {
    "PIL": "images",
    "jinja2": "report",
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


def check_installed(package: str, what: str) -> None:
    """Raise UsageError, saying that `what` ("--plot", "the report") needs `package`, unless that is installed."""
    if find_spec(package) is None:
        raise UsageError(f"{what} needs {package}, which isn't installed: pip install 'paconv[{_EXTRAS[package]}]'")


def check_matplotlib(what: str) -> None:
    """Raise UsageError, saying that `what` ("--plot", "the report") needs it, unless matplotlib is installed."""
    check_installed("matplotlib", what)
