"""onnxruntime sessions that run PABitConv with the bitwise kernels."""

from __future__ import annotations

import os

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from paconv.runtime.library import library_path

__all__ = ["ORT_ERRORS", "InferenceSession", "register"]

ORT_ERRORS = tuple(e for e in vars(ort_errors).values() if isinstance(e, type) and issubclass(e, Exception))
"""onnxruntime's exceptions, which have no base class of their own."""


def register(session_options: ort.SessionOptions) -> ort.SessionOptions:
    """Register the custom-op library with `session_options` and return them. PaconvError if it can't be built."""
    session_options.register_custom_ops_library(library_path())
    return session_options


class InferenceSession(ort.InferenceSession):
    """`onnxruntime.InferenceSession` with the custom-op library registered; takes the same arguments."""

    def __init__(self, path_or_bytes: str | os.PathLike | bytes, sess_options=None, providers=None, **kwargs):
        options = register(sess_options or ort.SessionOptions())
        super().__init__(path_or_bytes, options, providers or ["CPUExecutionProvider"], **kwargs)
