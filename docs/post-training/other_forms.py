"""onnxruntime's own quantized forms of a float ONNX file, to compare with: static QDQ, a scale for each output channel.

int8        8-bit weights and activations of every layer, as `paconv bench --int8` makes them; ranges are the
            smallest and largest value, or the 99.999th percentile
w4a8, w4a4  4-bit weights (15 levels), 8-bit or 4-bit (16 levels) activations; the layers that paconv leaves real
            stay float. onnxruntime computes these in float32: only the accuracy is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnx.version_converter
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from paconv.bench.int8 import _fold, _quiet

FORMS = {
    "int8, min and max": (QuantType.QInt8, QuantType.QUInt8, CalibrationMethod.MinMax),
    "int8, percentile": (QuantType.QInt8, QuantType.QUInt8, CalibrationMethod.Percentile),
    "w4a8": (QuantType.QInt4, QuantType.QUInt8, CalibrationMethod.MinMax),
    "w4a4": (QuantType.QInt4, QuantType.QUInt4, CalibrationMethod.MinMax),
    "w4a4, percentile": (QuantType.QInt4, QuantType.QUInt4, CalibrationMethod.Percentile),
}


class _Batches(CalibrationDataReader):
    def __init__(self, samples: Mapping[str, np.ndarray], size: int) -> None:
        count = len(next(iter(samples.values())))
        self._left = iter([{n: v[i : i + size] for n, v in samples.items()} for i in range(0, count, size)])

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        return next(self._left, None)


def write_form(
    form: str, source: Path, output: Path, samples: Mapping[str, np.ndarray], quantized: Sequence[tuple[int, ...]]
) -> None:
    """The float file `source` as `form` to `output`. quantized: shapes of the weights that 4 bits are for."""
    weights, activations, method = FORMS[form]
    with TemporaryDirectory() as folder, _quiet():
        folded = Path(folder) / "folded.onnx"
        newer = Path(folder) / "newer.onnx"
        model = onnx.load(source)
        if next(o.version for o in model.opset_import if not o.domain) < 13:  # scales for each channel need it
            model = onnx.version_converter.convert_version(model, 13)
        onnx.save(model, newer)
        _fold(newer, folded)
        named: list[str] = []
        if weights == QuantType.QInt4:
            named = _convolutions(folded, set(quantized))
        quantize_static(
            folded, output, _Batches(samples, 64), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=activations, weight_type=weights, calibrate_method=method, nodes_to_quantize=named or None,
            extra_options={"WeightSymmetric": True},
        )  # fmt: skip


def _convolutions(path: Path, shapes: set[tuple[int, ...]]) -> list[str]:
    model = onnx.load(path)
    dims = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}{number}"
    onnx.save(model, path)
    return [node.name for node in model.graph.node if node.op_type == "Conv" and dims.get(node.input[1]) in shapes]
