"""The name of the quantization scheme that made a model, kept in the file's metadata.

A step function is a step function: the graph doesn't say by which scheme its levels were found. So `paconv export`
writes metadata_props["paconv.scheme"], `paconv optimize` keeps it, and `paconv cost` names the scheme by it. A file
without it is PA's.
"""

from __future__ import annotations

import onnx

from paconv.onnx_file.metadata import note, noted

__all__ = ["KEY", "read_scheme", "write_scheme"]

KEY = "paconv.scheme"


def write_scheme(model: onnx.ModelProto, name: str) -> None:
    """Note in `model`'s metadata that its quantizers are those of scheme `name`."""
    note(model, {KEY: name})


def read_scheme(model: onnx.ModelProto) -> str:
    """The scheme's name, "pa" where none is noted."""
    found = noted(model, KEY)
    return "pa" if found is None else found
