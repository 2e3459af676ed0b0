"""The compared networks as files: float, 8-bit and PA, with random weights. Time and size don't depend on the weights.

float   random weights, batch norms settled on random images, exported
int8    the float file, quantized by onnxruntime (int8.py) in the form that it advises for this CPU, and where U8S8
        saturates in that one too, to see by how much
PA      M even: converted, calibrated, batch norms settled, exported and optimized, as a trained network would be
        M odd, which training does not make: the packed model of another M, recoded (recode.py)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from paconv.bench.int8 import quantize
from paconv.bench.int8_form import U8S8, Advice, Form
from paconv.cost import count, network, storage
from paconv.errors import UsageError
from paconv.files import write_bytes
from paconv.onnx_file.loading import load_model
from paconv.passes.fuse.unfuse import canonical
from paconv.pipeline import optimize
from paconv.studies.speed.measured import SIGNS
from paconv.studies.speed.recode import recoded

__all__ = ["Build", "NetworkFiles", "build_network", "build_single_binary", "timed_image"]

SINGLE_BINARY = ("bireal18", "resnet18")
"""The layout of single-binary ResNet18: Bi-Real Net's where paconv.models has it, otherwise the plain one."""

_BASE = (2, 1)
"""What M odd is recoded from where no other packed model of the network is built."""

_IMAGES = 4
_SEED = 0

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Build:
    """A packed model."""

    network: str
    """Its name."""
    planes: tuple[int, int]
    """(M, N)."""
    size: int
    """Bytes of the file."""
    accounted: float
    """Bytes of its level indexes and real parameters (`paconv cost --storage level-index`)."""
    optimize_seconds: float | None
    """What `optimize` took; None for a recoded model."""
    levels: str = ""
    """"" for PA's, or SIGNS."""

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class NetworkFiles:
    """The files of a network in all its forms."""

    name: str
    """The network's."""
    input_shape: tuple[int, ...]
    """Without the batch."""
    real: Path
    """In float."""
    int8: Path
    """With 8-bit integers, in `form`."""
    form: Form
    """The advised 8-bit form."""
    saturated: Path | None
    """In U8S8; None where that doesn't saturate."""
    packed: dict[tuple[int, int], Path]
    """(M, N) -> file."""
    builds: list[Build]
    """What each packed model is."""


def timed_image(input_shape: tuple[int, ...]) -> np.ndarray:
    """(1, ...) float32: what the networks are timed on.

    8-bit forms are calibrated on it too, so that their errors are those of 8 bits, not of a range that was met nowhere.
    """
    return np.random.default_rng(_SEED).standard_normal((1, *input_shape), np.float32)


def build_network(
    name: str,
    input_shape: tuple[int, ...],
    planes: Sequence[tuple[int, int]],
    folder: Path,
    advice: Advice,
    progress: Progress = lambda what: None,
) -> NetworkFiles:
    """Write the network called `name` in paconv.models in all its forms to `folder`. advice: which 8-bit form.

    Raises UsageError for a name that isn't known.
    """
    import torch

    from paconv.models import build
    from paconv.nn.calibrate import settle_batch_norm
    from paconv.to_onnx.exporter import export

    torch.manual_seed(_SEED)
    images = torch.randn(_IMAGES, *input_shape)
    progress(f"building {name}")
    parent = build(name)
    settle_batch_norm(parent, [images])
    real, int8 = folder / f"{name}.onnx", folder / f"{name}-int8.onnx"
    saturated = folder / f"{name}-u8s8.onnx" if advice.saturates else None
    export(parent, real, input_shape)
    progress(f"quantizing {name}")
    (given,) = onnx.load(real).graph.input
    batches = [{given.name: image} for image in (timed_image(input_shape), *images.numpy()[:, None])]
    quantize(real, int8, batches, advice.form)
    if saturated is not None:
        quantize(real, saturated, batches, U8S8)
    packed, builds = _packed(name, parent, images, input_shape, planes, folder, progress)
    return NetworkFiles(name, input_shape, real, int8, advice.form, saturated, packed, builds)


def build_single_binary(
    input_shape: tuple[int, ...], folder: Path, progress: Progress = lambda what: None
) -> tuple[str, Path, Build]:
    """ResNet18 with weights and activations of -1 and +1, in the layout of SINGLE_BINARY that is there.

    Returns the network's name, the packed file and how it was built.
    """
    import torch

    from paconv.models import build, names
    from paconv.nn.calibrate import settle_batch_norm

    name = next(name for name in SINGLE_BINARY if name in names())
    torch.manual_seed(_SEED)
    images = torch.randn(_IMAGES, *input_shape)
    parent = build(name, M=_BASE[0], N=_BASE[1])
    settle_batch_norm(parent, [images])
    model = _optimized(name, parent, images, input_shape, folder)[0]
    path = folder / f"{name}-single.onnx"
    return name, path, _written(_recoded(model, 1, 1, signs=True), name, (1, 1), path, None, SIGNS)


def _packed(
    name: str, parent, images, input_shape: tuple[int, ...], planes: Sequence[tuple[int, int]], folder: Path,
    progress: Progress,
) -> tuple[dict[tuple[int, int], Path], list[Build]]:  # fmt: skip
    from paconv.nn.convert import convert

    if not all(1 <= n <= 8 for pair in planes for n in pair):
        raise UsageError(f"planes: expected M and N from 1 to 8; found {list(planes)}")
    trained = [pair for pair in planes if pair[0] % 2 == 0] or [_BASE]
    models: dict[tuple[int, int], onnx.ModelProto] = {}
    seconds: dict[tuple[int, int], float] = {}
    for M, N in trained:
        progress(f"building {name} PA({M},{N})")
        pa = convert(parent, M, N)
        models[M, N], seconds[M, N] = _optimized(name, pa, images, input_shape, folder)
    paths, builds = {}, []
    for M, N in planes:
        model = models[M, N] if (M, N) in models else _recoded(models[trained[0]], M, N)
        paths[M, N] = folder / f"{name}-pa{M}{N}.onnx"
        builds.append(_written(model, name, (M, N), paths[M, N], seconds.get((M, N))))
    return paths, builds


def _recoded(model: onnx.ModelProto, M: int, N: int, signs: bool = False) -> onnx.ModelProto:
    """A packed model at another (M, N), linked as `optimize` links it."""
    return optimize(recoded(canonical(model), M, N, signs)).model


def _optimized(name: str, model, images, input_shape: tuple[int, ...], folder: Path) -> tuple[onnx.ModelProto, float]:
    """A PA module -> its packed model, and the seconds that `optimize` took from file to file."""
    from paconv.nn.calibrate import calibrate, settle_batch_norm
    from paconv.to_onnx.exporter import export

    calibrate(model, [images])
    settle_batch_norm(model, [images])
    exported, output = folder / f"{name}-model.onnx", folder / f"{name}-optimized.onnx"
    export(model, exported, input_shape)
    start = time.perf_counter()
    optimize(exported, output)
    return load_model(output), time.perf_counter() - start


def _written(
    model: onnx.ModelProto, name: str, planes: tuple[int, int], path: Path, optimize_seconds: float | None,
    levels: str = "",
) -> Build:  # fmt: skip
    write_bytes(path, model.SerializeToString())
    counted = count(network(load_model(path)), stored=storage("level-index"))
    return Build(name, planes, path.stat().st_size, counted.totals.level_index_bits / 8, optimize_seconds, levels)
