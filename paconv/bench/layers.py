"""Single convolutions: PABitConv, quantization and packing included, against onnxruntime's float and 8-bit ones.

The 3x3 layers are ResNet18's, the 1x1 ones ResNet50's. Levels are as training leaves them: not evenly spaced, with 0
among the weights' and the lowest of the activations'. With M odd, which training does not make, 0 is none of the
weights' levels; (1, 1) is -1 and +1 on both sides, as in Bi-Real Net.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from paconv.bench.larq import Larq, LarqRun
from paconv.bench.measured import FLOAT, INT8, LARQ, PA, Measured
from paconv.bench.timing import Timing
from paconv.cost.host.probe import bit_conv, conv, float_layer, integer_conv
from paconv.cost.host.timing import Runnable, Timed, take_turns
from paconv.cost.layers import Layer
from paconv.kernels.registry import CHOICES
from paconv.runtime.inspection import node_kernels

__all__ = ["POINTWISE", "WINDOWS", "levels", "time_layer"]

WINDOWS = tuple(conv(channels, channels, size) for channels, size in ((64, 56), (128, 28), (256, 14), (512, 7)))
"""ResNet18's 3x3 convolutions of stride 1."""

POINTWISE = (conv(256, 64, 56, 1), conv(1024, 256, 14, 1))
"""Two of ResNet50's 1x1 convolutions."""

_SEED = 0


def levels(M: int, N: int) -> tuple[np.ndarray, np.ndarray]:
    """alpha (M+1,) and beta (N+1,) float32 as described above, seeded."""
    if (M, N) == (1, 1):
        return np.array([-1, 1], np.float32), np.array([-1, 1], np.float32)
    rng = np.random.default_rng(_SEED)
    half = (M + 1) // 2
    negative, positive = -np.sort(0.2 + rng.random(half))[::-1], np.sort(0.2 + rng.random(half))
    alpha = np.concatenate([[0], negative, positive] if M % 2 == 0 else [negative, positive])
    beta = np.concatenate([[0], np.sort(0.2 + rng.random(N))])
    return alpha.astype(np.float32), beta.astype(np.float32)


def time_layer(
    layer: Layer,
    planes: Sequence[tuple[int, int]],
    threads: Sequence[int],
    seconds: float,
    larq: Larq | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> list[Measured]:
    """The layer in every way and at every thread count, all in turns that take about `seconds`."""
    cases: list[tuple[Runnable, dict]] = []
    for count in threads:
        common = {"threads": count}
        cases.append((Timed(float_layer(layer), count), {"what": FLOAT, **common}))
        cases.append((Timed(integer_conv(layer), count), {"what": INT8, **common}))
        if larq is not None:
            cases.append((LarqRun(larq, larq.layer(layer, count)), {"what": LARQ, **common}))
        for M, N in planes:
            model = bit_conv(layer, M, N, *levels(M, N))
            (chosen,) = node_kernels(model.SerializeToString())
            for kernel in CHOICES:
                (node,) = node_kernels(model.SerializeToString(), kernel)
                case = {"what": PA, "planes": (M, N), "kernel": kernel, "ran": ((node.kernel, 1),),
                        "digits": node.digits, "chosen": chosen.kernel == kernel}  # fmt: skip
                cases.append((Timed(model, count, kernel=kernel), case | common))
    calls = take_turns([session for session, _ in cases], seconds, progress)
    return [
        Measured(subject=layer.name, macs=layer.macs, timing=Timing.of(own), **case)
        for (_, case), own in zip(cases, calls, strict=True)
    ]
