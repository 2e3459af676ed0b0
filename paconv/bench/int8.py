"""A float model as onnxruntime's own 8-bit form: static QDQ, weights symmetric with a scale per output channel.

Batch norms are folded into the convolutions first, as onnxruntime advises; without that the result takes twice as long.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime as ort

from paconv.bench.int8_form import REDUCED, Form
from paconv.errors import ModelError
from paconv.files import replacing
from paconv.onnx_file.plain import with_least_opset
from paconv.runtime.session import ORT_ERRORS

__all__ = ["quantize"]

_MIN_IR = 4
"""Initializers need not be inputs from then on."""

_FAILURES: tuple[type[Exception], ...] = (*ORT_ERRORS, ValueError, RuntimeError)


def quantize(
    source: str | os.PathLike, output: str | os.PathLike, batches: Sequence[Mapping[str, np.ndarray]], form: Form
) -> None:
    """Write the float model `source` in the 8-bit `form` to `output`, its scales from `batches` of inputs.

    Raises ModelError if onnxruntime can't quantize it.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Batches(CalibrationDataReader):
        def __init__(self):
            self._left = iter(batches)

        def get_next(self) -> Mapping[str, np.ndarray] | None:
            return next(self._left, None)

    types = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}

    with TemporaryDirectory() as folder, replacing(output) as temporary, _quiet():
        folded = Path(folder) / "folded.onnx"
        try:
            _fold(source, folded)
            quantize_static(
                folded, temporary, Batches(), quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=types[form.activations], weight_type=types[form.weights],
                reduce_range=form.largest == REDUCED.largest, extra_options={"WeightSymmetric": True},
            )  # fmt: skip
        except _FAILURES as error:
            raise ModelError(f"{source}: onnxruntime can't quantize it: {error}") from error


def _fold(source: str | os.PathLike, output: Path) -> None:
    """onnxruntime's basic optimizations, without the opset imports that it adds for domains it knows."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(output)
    options.log_severity_level = 4
    ort.InferenceSession(os.fspath(source), options, providers=["CPUExecutionProvider"])
    model = onnx.load(output)
    used = {node.domain for node in model.graph.node} | {""}
    kept = [o for o in model.opset_import if o.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    model.ir_version = max(model.ir_version, _MIN_IR)
    onnx.save(with_least_opset(model, str(source)), output)  # scales per channel came with opset 13


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that the quantizer logs for every batch norm's weight."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
