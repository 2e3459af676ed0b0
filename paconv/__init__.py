"""paconv: piecewise-approximated CNNs from PyTorch to onnxruntime.

    torch CNN --convert--> PA model --train, save--> model.pt --export--> model.onnx --optimize--> pa.onnx --> serve
    float network, torch or .onnx, and some of its inputs --quantize--> model.onnx

Names are loaded when first used, so that serving needs neither torch nor the exporter.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from paconv._version import __version__
from paconv.extras import missing_package

if TYPE_CHECKING:
    from paconv.checkpoint import load, save
    from paconv.cost.summary import summary
    from paconv.deployment.deploy import deploy
    from paconv.errors import PaconvError
    from paconv.model_report.report import report
    from paconv.nn.convert import convert
    from paconv.pipeline import optimize
    from paconv.quantization.api import quantize
    from paconv.runtime.library import library_path
    from paconv.runtime.session import InferenceSession, register
    from paconv.to_onnx.exporter import export
    from paconv.verification.verify import verify

_HOMES = {
    "InferenceSession": "paconv.runtime.session",
    "PaconvError": "paconv.errors",
    "convert": "paconv.nn.convert",
    "deploy": "paconv.deployment.deploy",
    "export": "paconv.to_onnx.exporter",
    "library_path": "paconv.runtime.library",
    "load": "paconv.checkpoint",
    "optimize": "paconv.pipeline",
    "quantize": "paconv.quantization.api",
    "register": "paconv.runtime.session",
    "report": "paconv.model_report.report",
    "save": "paconv.checkpoint",
    "summary": "paconv.cost.summary",
    "verify": "paconv.verification.verify",
}

_MODULES = {
    "bench": "paconv.bench",
    "compare": "paconv.studies.accuracy",
    "models": "paconv.models",
    "nn": "paconv.nn",
    "train": "paconv.train",
}

__all__ = [
    "InferenceSession",
    "PaconvError",
    "__version__",
    "convert",
    "deploy",
    "export",
    "library_path",
    "load",
    "optimize",
    "quantize",
    "register",
    "report",
    "save",
    "summary",
    "verify",
]


def __getattr__(name: str):
    if name not in (*_HOMES, *_MODULES):
        raise AttributeError(f"module 'paconv' has no attribute {name!r}")
    try:
        value = import_module(_MODULES[name]) if name in _MODULES else getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if (missing := missing_package(error)) is not None:
            raise type(missing)(f"paconv.{name} {missing}") from error
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
