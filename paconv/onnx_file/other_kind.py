"""What a file is that is no ONNX model, told by how it begins."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

__all__ = ["folder_content", "kind_of"]

_EXPORT = "a torch checkpoint; `paconv export` makes an ONNX model of one"

_BEGINNINGS = (
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"\x80\x02", _EXPORT),  # a pickle, as torch.save wrote before torch 1.6
    (b"\x80", "a Python pickle"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x7fELF", "a program or shared library"),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
)
"""First bytes -> what the file is."""

_LOOKED_AT = 512


def kind_of(data: bytes) -> str:
    """What a file of these bytes is, in words; "" where that isn't known."""
    if data[:2] == b"PK":
        return _zipped(data)
    if data[4:8] == b"TFL3":
        return "a TensorFlow Lite model; convert it to ONNX first (tf2onnx)"
    if data[8:10] == b'{"' and int.from_bytes(data[:8], "little") < len(data):
        return "weights in safetensors, without a network; load them in torch, and paconv.save the model"
    for start, kind in _BEGINNINGS:
        if data.startswith(start):
            return kind
    return "text" if data and _is_text(data[:_LOOKED_AT]) else ""


def folder_content(folder: Path) -> str:
    """The models that lie in a folder, to end a message; "" without any."""
    found = sorted(path.name for path in folder.iterdir() if path.suffix in (".onnx", ".pt"))
    return f" with {', '.join(found[:3])} in it" if found else ""


def _zipped(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return "a damaged zip archive"
    if any(name.endswith("data.pkl") for name in names):
        return _EXPORT
    return "NumPy arrays (.npz)" if names and all(name.endswith(".npy") for name in names) else "a zip archive"


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if error.start < len(data) - 3:  # not only a letter cut off
            return False
        text = data[: error.start].decode()
    return all(letter.isprintable() or letter in "\n\r\t\f" for letter in text)
