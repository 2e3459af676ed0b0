"""What paconv notes in a file's metadata (`metadata_props`), and where the file came from.

An ONNX file says what it computes, but not which training it belongs to. So `paconv export` and `paconv quantize` write
the entries of `PROVENANCE` into model.onnx, and `paconv optimize` keeps them and adds its own version. Paths and times
are no part of it: the same inputs give the same file, byte for byte. What isn't known is left out, as the hash of a
module that came from no file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path

import onnx

from paconv.errors import PaconvError

__all__ = ["NOTES", "OPTIMIZER", "PROVENANCE", "file_sha256", "grid_text", "note", "noted", "provenance", "torch_of"]

OPTIMIZER = "paconv.optimizer"
"""The one entry that is added to a file that has others."""

PROVENANCE = {
    "paconv.scheme": "The quantization scheme by its name, as `paconv.convert` takes it: pa, xnor, ...",
    "paconv.M": "Weight planes; single layers may have others.",
    "paconv.N": "Activation planes, likewise; full for real activations.",
    "paconv.planes": "digits where planes are the binary digits of evenly spaced levels; left out where each level but "
    "0 has one of its own, or as the scheme says.",
    "paconv.grid": "A,B: the largest integers that levels of weights and of activations are times a unit, real in "
    "place of one without; none where all levels are real.",
    "paconv.source": "What it was made from: checkpoint, onnx, or module for a torch module in memory.",
    "paconv.source_sha256": "SHA-256 of the checkpoint or float ONNX file it was made from, as sha256sum prints it; "
    "of the file alone, without external data. Left out where it came from memory.",
    "paconv.torch": "The torch that exported the graph, as torch.__version__ says; left out where that isn't known.",
    "paconv.version": "The paconv that wrote model.onnx.",
    OPTIMIZER: "The paconv whose `optimize` made pa.onnx of it.",
}
"""Key -> meaning of its value, a text, in the order that readers see them in."""

NOTES = {
    "paconv.parameters": "Biases and batch norms that `optimize` folded, which `paconv cost` counts (JSON).",
}
"""The same of what only paconv itself reads."""


def note(model: onnx.ModelProto, entries: Mapping[str, str | None]) -> None:
    """Set entries of `model`'s metadata, in place; those that were there go, and None sets none in their place."""
    kept = [entry for entry in model.metadata_props if entry.key not in entries]
    new = [onnx.StringStringEntryProto(key=key, value=value) for key, value in entries.items() if value is not None]
    del model.metadata_props[:]
    model.metadata_props.extend([*kept, *new])


def noted(model: onnx.ModelProto, key: str) -> str | None:
    """The value of an entry, None if there is none."""
    return next((entry.value for entry in model.metadata_props if entry.key == key), None)


def provenance(model: onnx.ModelProto) -> dict[str, str]:
    """The entries of `PROVENANCE` that `model` has, in that order, without the prefix: scheme, M, N, grid, ..."""
    found = {key: noted(model, key) for key in PROVENANCE}
    return {key.removeprefix("paconv."): value for key, value in found.items() if value is not None}


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file in hexadecimal digits. Raises PaconvError if it can't be read."""
    try:
        with Path(path).open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PaconvError(f"{path}: cannot be read: {error.strerror or error}") from error


def grid_text(weights: int | None, activations: int | None) -> str:
    """The largest integers as `paconv.grid` says them; None for real levels, or for none at all."""
    limits = (weights, activations)
    return "none" if limits == (None, None) else ",".join("real" if most is None else str(most) for most in limits)


def torch_of(model: onnx.ModelProto) -> str | None:
    """The torch that exported `model`, by our entry or the name that torch's exporters leave."""
    if (ours := noted(model, "paconv.torch")) is not None or model.producer_name != "pytorch":
        return ours
    return model.producer_version or None
