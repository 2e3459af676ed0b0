"""The ready-made architectures under a scheme, with random weights, through the whole way at their real input size."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from paconv.checkpoint import save
from paconv.conversion import conversion_report
from paconv.cost import count
from paconv.cost.source import network_of_file
from paconv.errors import PaconvError
from paconv.models import build, input_shape
from paconv.nn.calibrate import settle_batch_norm
from paconv.nn.schemes import Scheme
from paconv.pipeline import OptimizeResult, optimize
from paconv.to_onnx.exporter import export
from paconv.verification.verify import verify

__all__ = ["Checked", "check_architecture"]

_IMAGES = 4
"""Random images that the batch norms are settled on."""


@dataclass(frozen=True)
class Checked:
    """How far an architecture came with a scheme; figures that weren't reached are 0."""

    model: str
    """The architecture."""
    scheme: str
    """As in `--scheme`."""
    eligible: int = 0
    """Convolutions that the scheme quantizes."""
    converted: int = 0
    """Those of them that pa.onnx has in packed form: with all their parts, where one becomes several nodes."""
    difference: str | None = None
    """The first thing that is wrong; None if all is well."""
    float_bytes: int = 0
    """Size of model.onnx."""
    file_bytes: int = 0
    """Size of pa.onnx."""
    bits: int = 0
    """As `paconv cost` counts them."""
    flops: float = 0.0
    """As `paconv cost` counts them."""
    seconds: float = 0.0
    """Of the whole check."""

    @property
    def ok(self) -> bool:
        return self.difference is None

    def as_data(self) -> dict:
        """As plain data."""
        return asdict(self) | {"ok": self.ok}


def check_architecture(name: str, scheme: Scheme, word: str, folder: Path, seed: int = 0) -> Checked:
    """Build architecture `name` under `scheme`, called `word`, and take it all the way in `folder`.

    The way is save, export, optimize, verify and cost; what goes wrong on it is the result's `difference`. Raises
    UsageError for an unknown architecture.
    """
    shape, started = input_shape(name), time.perf_counter()
    found: dict[str, Any] = {"model": name, "scheme": word}
    try:
        found |= _through(name, scheme, shape, folder, seed)
    except PaconvError as error:
        found["difference"] = str(error)
    except Exception as error:  # of torch or onnxruntime: the other architectures are checked all the same
        found["difference"] = f"unexpected {type(error).__name__}: {error}"
    return Checked(**found, seconds=time.perf_counter() - started)


def _through(name: str, scheme: Scheme, shape: tuple[int, ...], folder: Path, seed: int) -> dict:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(name, scheme=scheme.name, M=scheme.M, N=scheme.N)
        settle_batch_norm(model, [torch.randn(_IMAGES, *shape)])
    checkpoint, exported, packed = (folder / each for each in ("model.pt", "model.onnx", "pa.onnx"))
    save(model, checkpoint, input_shape=shape)
    export(checkpoint, exported)
    optimized = optimize(exported, packed)
    eligible = [conv.name for conv in conversion_report(model).converted]
    left = _left(eligible, optimized, "weights-only" if scheme.N is None else "bit-conv")
    verdict = verify(exported, packed)
    difference = verdict.first_difference
    if left:
        difference = f"{left[0]} was not converted, one of {len(left)}"
    totals = count(network_of_file(packed)).totals
    return {
        "eligible": len(eligible),
        "converted": len(eligible) - len(left),
        "difference": difference,
        "float_bytes": exported.stat().st_size,
        "file_bytes": packed.stat().st_size,
        "bits": totals.bits,
        "flops": float(totals.flops),
    }


def _left(eligible: list[str], optimized: OptimizeResult, form: str) -> list[str]:
    """Convolutions without a node of this form, or with another. Their nodes have their name, or one that it begins."""
    forms: dict[str, list[str]] = {name: [] for name in eligible}
    for line in optimized.report.convs:
        parts = line.node.split(".")
        owner = next((name for n in range(len(parts), 0, -1) if (name := ".".join(parts[:n])) in forms), None)
        if owner is not None:
            forms[owner].append(line.form)
    return [name for name, found in forms.items() if not found or set(found) != {form}]
