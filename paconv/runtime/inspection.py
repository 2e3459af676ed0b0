"""Which kernel each PABitConv of a model gets on this machine, and why: as the library itself says it."""

from __future__ import annotations

import ctypes
import os
import threading
from dataclasses import dataclass

import onnxruntime as ort

from paconv.errors import ModelError
from paconv.runtime.library import library_path
from paconv.runtime.session import ORT_ERRORS, InferenceSession

__all__ = ["NodeKernel", "node_kernels"]

_LISTENER = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_double, ctypes.c_double
)
_lock = threading.Lock()


@dataclass(frozen=True)
class NodeKernel:
    """What a PABitConv node runs."""

    node: str
    """Its name."""
    kernel: str
    """A name in CHOICES."""
    kind: str
    """How level codes are multiplied, a name in KINDS, or "planes"."""
    reason: str
    """Why that kernel."""
    planes_rate: float
    """Nanoseconds per pixel, 16 output channels and window position of all input channels (kernels/rates.py), by bit
    planes.
    """
    codes_rate: float
    """The same by level codes; 0 if codes can't be used or were not asked for."""


def node_kernels(model: str | os.PathLike | bytes, kernel: str | None = None) -> list[NodeKernel]:
    """What each PABitConv node of a model runs here, in the order in which nodes are created.

    Args:
        model: A file, or the bytes of one.
        kernel: As for `paconv.InferenceSession`.

    Raises:
        ModelError: onnxruntime can't open the model.
    """
    found: list[NodeKernel] = []

    def told(node: bytes, choice: bytes, kind: bytes, reason: bytes, planes: float, codes: float) -> None:
        name = node.decode(errors="replace").partition(" node '")[2].rstrip("'")
        found.append(NodeKernel(name, choice.decode(), kind.decode(), reason.decode(), planes, codes))

    listener = _LISTENER(told)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    with _lock:
        library = ctypes.CDLL(library_path())
        library.paconv_set_listener.argtypes = [ctypes.c_void_p]
        library.paconv_set_listener(ctypes.cast(listener, ctypes.c_void_p))
        try:
            InferenceSession(model, options, kernel=kernel)
        except ORT_ERRORS as error:
            raise ModelError(f"{model if not isinstance(model, bytes) else 'the model'}: {error}") from error
        finally:
            library.paconv_set_listener(None)
    return found
