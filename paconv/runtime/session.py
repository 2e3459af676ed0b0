"""onnxruntime sessions that run PABitConv with the bitwise kernels."""

from __future__ import annotations

import os

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from paconv.errors import PaconvError, UsageError
from paconv.kernels.registry import CHOICES
from paconv.runtime.library import library_path

__all__ = ["ORT_ERRORS", "InferenceSession", "register"]

ORT_ERRORS: tuple[type[Exception], ...] = tuple(
    e for e in vars(ort_errors).values() if isinstance(e, type) and issubclass(e, Exception)
)
"""onnxruntime's exceptions, which have no base class of their own."""


def register(session_options: ort.SessionOptions, kernel: str | None = None) -> ort.SessionOptions:
    """Register the custom-op library with `session_options`.

    Args:
        session_options: The options of a session to be created; changed in place.
        kernel: The kernel of every PABitConv (a name in paconv.kernels.registry.CHOICES), or "auto": the fastest exact
            one, layer by layer. If None, the options' own entry "paconv.kernel" counts, then PACONV_KERNEL, then
            "auto". An entry may be set afterwards too, up to the session's creation, and then counts first;
            onnxruntime before 1.24 doesn't tell of that.

    Returns:
        `session_options`.

    Raises:
        UsageError: The kernel is unknown.
        PaconvError: There is no library, or PACONV_KERNEL or PACONV_CPU has an unknown value.
    """
    if kernel is not None:
        if kernel != "auto" and kernel not in CHOICES:
            raise UsageError(f"kernel: expected auto, {', '.join(CHOICES)}; found {kernel!r}")
        session_options.add_session_config_entry("paconv.kernel", kernel)
    path = library_path()
    try:
        session_options.register_custom_ops_library(path)
    except ORT_ERRORS as error:  # PACONV_KERNEL or PACONV_CPU names something unknown
        raise PaconvError(str(error).rpartition(" : ")[2].removeprefix("paconv: ")) from error
    return session_options


class InferenceSession(ort.InferenceSession):
    """`onnxruntime.InferenceSession` with the custom-op library registered.

    Args:
        path_or_bytes: The model: a file, or its serialized bytes.
        sess_options: onnxruntime's options; the library is registered with them.
        providers: As for onnxruntime; by default the CPU.
        kernel: As for `register`.
        **kwargs: onnxruntime's other arguments.

    Raises:
        UsageError: The kernel is unknown.
        PaconvError: There is no library, or PACONV_KERNEL or PACONV_CPU has an unknown value.
    """

    def __init__(
        self,
        path_or_bytes: str | os.PathLike | bytes,
        sess_options: ort.SessionOptions | None = None,
        providers=None,
        *,
        kernel: str | None = None,
        **kwargs,
    ):
        options = register(sess_options or ort.SessionOptions(), kernel)
        super().__init__(path_or_bytes, options, providers or ["CPUExecutionProvider"], **kwargs)
