"""The 8-bit models among those that `paconv bench` times: their forms, whether they saturate, how far off they are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from paconv.bench.int8 import quantize
from paconv.bench.int8_form import U8S8, Advice, Form, int8_advice
from paconv.bench.int8_reading import forms_of, is_float
from paconv.bench.output_error import OutputError, output_error
from paconv.bench.sessions import open_timed
from paconv.errors import UsageError
from paconv.measure.turns import Timed

__all__ = ["Int8Model", "OpenedModel", "open_model", "with_int8"]


@dataclass(frozen=True)
class Int8Model:
    """What an 8-bit model is, and how far off."""

    forms: tuple[Form, ...]
    """Of its products."""
    saturates: bool
    """Whether they do on this CPU."""
    error: OutputError | None
    """Against the float model on the arrays fed; None without a float model to compare with."""
    u8s8_error: OutputError | None = None
    """Error of U8S8, if that was made too."""

    @property
    def name(self) -> str:
        return " and ".join(form.name for form in self.forms)

    def as_data(self) -> dict[str, Any]:
        def plain(error: OutputError | None) -> dict[str, float] | None:
            return None if error is None else error.as_data()

        return {
            "forms": [form.name for form in self.forms],
            "saturates": self.saturates,
            "error": plain(self.error),
            "u8s8_error": plain(self.u8s8_error),
        }


@dataclass(frozen=True)
class OpenedModel:
    """A model file, open."""

    file: str
    """What it is called."""
    size: int
    """Bytes."""
    sessions: list[Timed]
    """One per thread count, each run once."""
    int8: Int8Model | None = None
    """Of an 8-bit model."""


def open_model(
    path: str | os.PathLike, feeds: Mapping[str, np.ndarray], threads: Sequence[int], kernel: str | None = None
) -> OpenedModel:
    """Raises what open_timed does."""
    sessions = [open_timed(path, feeds, count, kernel) for count in threads]
    return OpenedModel(os.fspath(path), os.path.getsize(path), sessions)


def with_int8(
    opened: Sequence[OpenedModel], feeds: Mapping[str, np.ndarray], threads: Sequence[int], quantized: bool
) -> tuple[list[OpenedModel], Advice | None]:
    """The models, those of 8 bits marked, and the advice of the 8-bit form, None if there are none of 8 bits.

    quantized: add the first float model as onnxruntime quantizes it in that form, its scales from `feeds`. Raises
    UsageError if there is no float model for that, ModelError if onnxruntime can't quantize it.
    """
    read = [_read(model.file) for model in opened]
    real = next((model for model, (plain, _) in zip(opened, read, strict=True) if plain), None)
    if quantized and real is None:
        raise UsageError(
            "int8: expected a float model to quantize among those to time; found "
            f"{', '.join(model.file for model in opened)}, each approximated or quantized already; give the float file "
            "with --against"
        )
    advice = int8_advice()

    def error(model: OpenedModel) -> OutputError | None:
        return None if real is None else output_error(real.sessions[0].outputs(), model.sessions[0].outputs())

    def told(model: OpenedModel, forms: Sequence[Form]) -> OpenedModel:
        saturated = advice.saturates and any(form.may_saturate for form in forms)
        return replace(model, int8=Int8Model(tuple(forms), saturated, error(model))) if forms else model

    found = [told(model, forms) for model, (_, forms) in zip(opened, read, strict=True)]
    if quantized:
        assert real is not None

        def made(form: Form) -> OpenedModel:
            with TemporaryDirectory() as folder:
                path = Path(folder) / "int8.onnx"
                quantize(real.file, path, [real.sessions[0].inputs], form)
                return replace(open_model(path, feeds, threads), file=f"{real.file}, int8")

        own = made(advice.form)
        other = error(made(U8S8)) if advice.saturates else None
        found.append(replace(own, int8=Int8Model((advice.form,), False, error(own), other)))
    return found, advice if any(model.int8 for model in found) else None


def _read(path: str) -> tuple[bool, list[Form]]:
    """(whether it is a float model, its 8-bit forms).

    Nothing of a file that isn't an ONNX model: onnxruntime runs its own format too.
    """
    try:
        model = onnx.load(path)
    except DecodeError:
        return False, []
    return is_float(model), forms_of(model)
