"""Single convolutions: PABitConv, quantization and packing included, against onnxruntime's float and 8-bit ones.

The 3x3 layers are ResNet18's, the 1x1 ones ResNet50's. Levels are as training leaves them: not evenly spaced, with 0
among the weights' and the lowest of the activations'. At (1, 1) they are -1 and +1 on both sides besides (SIGNS), which
costs more: the offsets of both have to be added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from paconv.bench.int8_form import U8S8, Advice
from paconv.bench.peaks import coding_of
from paconv.cost.host.probe import bit_conv, conv, float_layer, levels
from paconv.kernels.registry import CHOICES
from paconv.measure.timing import Timing
from paconv.measure.turns import Runnable, Timed, take_turns
from paconv.network.layers import Layer
from paconv.runtime.inspection import node_kernels
from paconv.studies.speed.int8_layer import integer_layer
from paconv.studies.speed.larq import Larq, LarqRun
from paconv.studies.speed.measured import FLOAT, INT8, LARQ, PA, SIGNS, Measured

__all__ = ["POINTWISE", "WINDOWS", "time_layer"]

WINDOWS = tuple(conv(channels, channels, size) for channels, size in ((64, 56), (128, 28), (256, 14), (512, 7)))
"""ResNet18's 3x3 convolutions of stride 1."""

POINTWISE = (conv(256, 64, 56, 1), conv(1024, 256, 14, 1))
"""Two of ResNet50's 1x1 convolutions."""


def time_layer(
    layer: Layer,
    planes: Sequence[tuple[int, int]],
    threads: Sequence[int],
    seconds: float,
    advice: Advice,
    larq: Larq | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> list[Measured]:
    """The layer in every way and at every thread count, all in turns that take about `seconds`.

    advice: which 8-bit form to time.
    """
    cases: list[tuple[Runnable, dict]] = []
    integers = integer_layer(layer, advice.form)
    saturated = integer_layer(layer, U8S8).error if advice.saturates else None
    int8 = {"what": INT8, "form": advice.form.name, "error": integers.error, "u8s8_error": saturated}
    for count in threads:
        common = {"threads": count}
        cases.append((Timed(float_layer(layer), count), {"what": FLOAT, **common}))
        cases.append((Timed(integers.model, count, feed=integers.feed), int8 | common))
        if larq is not None:
            cases.append((LarqRun(larq, larq.layer(layer, count)), {"what": LARQ, **common}))
        forms = [((M, N), "", levels(M, N)) for M, N in planes]
        if (1, 1) in planes:
            forms.append(((1, 1), SIGNS, (np.array([-1, 1]), np.array([-1, 1]))))
        for pair, kind, values in forms:
            model = bit_conv(layer, *pair, *values)
            (chosen,) = node_kernels(model.SerializeToString())
            for kernel in CHOICES:
                (node,) = node_kernels(model.SerializeToString(), kernel)
                case = {"what": PA, "planes": pair, "levels": kind, "kernel": kernel, "ran": ((node.kernel, 1),),
                        "coding": coding_of(node), "chosen": chosen.kernel == kernel}  # fmt: skip
                cases.append((Timed(model, count, kernel=kernel), case | common))
    calls = take_turns([session for session, _ in cases], seconds, progress)
    return [
        Measured(subject=layer.name, macs=layer.macs, timing=Timing.of(own), **case)
        for (_, case), own in zip(cases, calls, strict=True)
    ]
