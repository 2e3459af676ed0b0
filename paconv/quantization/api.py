"""`paconv.quantize`: a trained float network, from torch or a lone ONNX file, and some of its inputs -> PA."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from paconv._version import __version__
from paconv.errors import UsageError
from paconv.grid import DEFAULT_GRID, GridChoice
from paconv.input_shape import Shape, checked_shapes
from paconv.onnx_file.metadata import file_sha256, grid_text, note, torch_of
from paconv.onnx_file.plain import PlainModel, plain_model
from paconv.quantization.quantize import Quantized, quantize_plain
from paconv.quantization.settings import Settings
from paconv.samples.loading import Source, load_samples

if TYPE_CHECKING:
    from torch import nn

__all__ = ["is_checkpoint", "quantize"]

_ZIP = b"PK"
"""What a file of torch.save begins with."""

_TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")


def quantize(
    source: str | os.PathLike | onnx.ModelProto | nn.Module,
    data: Source,
    M: int = 4,
    N: int | None = 5,
    *,
    digits: bool = False,
    output: str | os.PathLike | None = None,
    checkpoint: str | os.PathLike | None = None,
    grid: GridChoice = DEFAULT_GRID,
    fast: bool = False,
    signed: bool | str = "auto",
    by_channel: bool | None = None,
    keep: Sequence[str] | str = (),
    first: str = "real",
    last: str = "real",
    depthwise: str = "real",
    linear: str = "real",
    most_error: float | None = None,
    worst: int = 0,
    worst_levels: tuple[int, int | None] | tuple[int, int, bool] | None = None,
    count: int = 512,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    size: int | tuple[int, int] | None = None,
    seed: int = 0,
    input_shape: Any = None,
    model: nn.Module | Callable[[], nn.Module] | None = None,
    trust_pickle: bool = False,
    read_from: str | os.PathLike | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Quantized:
    """Quantize a trained float network without labels and without training.

    Layer after layer, on what the quantized layers before it give: Lloyd-Max levels of activations, ridge regression of
    the weights on the float network's output, a codebook with a scale per output channel, codes by error feedback, and
    a least-squares scale and bias. The first layers, those that outputs are reached from, depthwise convolutions and
    linear layers stay real. The same inputs and seed give the same file.

    Args:
        source: A float ONNX file of any producer, or a ModelProto; a torch module; or the path of a checkpoint, read by
            `paconv.load(source, model, trust_pickle=...)`.
        data: Inputs of the network: a folder of pictures, an .npz file, "mnist:FOLDER", arrays, or batches.
        M: Weight planes: 2, 4, 6 or 8; 2 to 5 of digits.
        N: Activation planes, 1 to 8; None for real activations.
        digits: Planes are the binary digits of 2^M and 2^N evenly spaced levels, with as many products of planes as M
            and N levels that have a plane each.
        output: The model.onnx to write; None writes nothing.
        checkpoint: For a torch source: the checkpoint of the converted model to write, from which fine-tuning starts
            (`paconv train --from`); exported, it is the same network. All channels of an activation have the same
            endpoints there (by_channel=False).
        grid: The integers that levels are times a unit, as for `paconv.nn.snap_`; None for real levels.
        fast: Leave out the regression and the error feedback.
        signed: "auto" gives activations levels below 0 where no ReLU, or what keeps its result, is before; True and
            False give them everywhere or nowhere.
        by_channel: Take the means of a signed activation's channels off before its levels, where no convolution that
            reads it pads, and stretch channels by powers of two where they differ much in width; None does so unless a
            checkpoint is written.
        keep: Names of layers that stay real, or patterns with * and ?.
        first: "real", or "pa" to quantize first layers too.
        last: The same for the layers that outputs are reached from.
        depthwise: The same for depthwise convolutions.
        linear: The same for linear layers that read one vector a sample, heads left out.
        most_error: A layer that adds more than that to the relative squared error of its output stays real.
        worst: So many layers, those that add most, stay real, or get `worst_levels`. Everything is done twice then.
        worst_levels: (M, N) of these layers, or (M, N, digits).
        count: The most samples that are taken of `data`.
        mean: Of pictures' channels, as fractions of 255; see paconv.samples.loading.
        std: The same.
        size: Of pictures, where the network leaves it free.
        seed: Of samples and windows that are drawn.
        input_shape: For a torch source: (C, H, W), or one such shape per input; None is what the checkpoint has.
        model: For a checkpoint: the float model, or a function that returns it.
        trust_pickle: Read a whole pickled module; this runs code stored in the file.
        read_from: The checkpoint that a torch module was read from, for the file's provenance.
        progress: Called as progress(layer, done, total).

    Returns:
        The quantized network, with what became of each layer, and how near its outputs are to the float network's.

    Raises:
        UsageError: An option is invalid, or there is no convolution to quantize.
        ModelError: The ONNX file can't be used.
        DataError: The samples can't be read, or don't fit the network.
        CheckpointError: The checkpoint can't be read.
        ExportError: torch can't export the model.
        PaconvError: `output` or `checkpoint` can't be written.
    """
    if signed not in ("auto", True, False):
        raise UsageError(f"signed: expected 'auto', True or False; found {signed!r}")
    settings = Settings(
        M,
        N,
        digits,
        grid,
        fast,
        None if signed == "auto" else bool(signed),
        checkpoint is None if by_channel is None else by_channel,
        seed,
    )
    if checkpoint is not None and by_channel:
        raise UsageError("by_channel: a checkpoint has the same endpoints for all channels; leave one of the two out")
    if checkpoint is not None and (digits or any((worst_levels or ())[2:])):
        raise UsageError("digits: in a checkpoint each level has a plane of its own; leave one of the two out")
    if checkpoint is not None and linear != "real":
        raise UsageError("linear: linear layers stay real in a checkpoint; leave one of the two out")
    if checkpoint is not None and _is_onnx(source):
        raise UsageError("a checkpoint (--checkpoint) can be made of a torch source alone; found an ONNX file")
    module, shapes = _read(source, input_shape, model, trust_pickle)
    plain = _exported(module, shapes) if module is not None else plain_model(source, input_shape)  # type: ignore[arg-type]
    inputs = [(i.name, i.shape, i.dtype) for i in plain.inputs]
    samples = load_samples(data, inputs, mean=mean, std=std, size=size, count=count, seed=seed)
    found = quantize_plain(
        plain,
        samples,
        settings,
        keep=[keep] if isinstance(keep, str) else list(keep),
        first=first,
        last=last,
        depthwise=depthwise,
        linear=linear,
        most_error=most_error,
        worst=worst,
        worst_levels=worst_levels,
        progress=progress,
    )
    origin = source if read_from is None else read_from
    note(found.model, _provenance(origin, plain.model, settings))
    if output is not None:
        found.save(output)
    if checkpoint is not None:
        from paconv.checkpoint.saving import save
        from paconv.quantization.to_torch import quantized_module

        save(quantized_module(module, found, shapes[0] if len(shapes) == 1 else None), checkpoint, shapes)
    return found


def _provenance(source: Any, model: onnx.ModelProto, settings: Settings) -> dict[str, str | None]:
    """The entries of paconv.onnx_file.metadata.PROVENANCE; model: the float network as ONNX."""
    file = isinstance(source, (str, os.PathLike))
    return {
        "paconv.scheme": "pa",
        "paconv.M": str(settings.M),
        "paconv.N": "full" if settings.N is None else str(settings.N),
        "paconv.planes": "digits" if settings.digits else None,
        "paconv.grid": grid_text(*settings.largest),
        "paconv.source": "onnx" if _is_onnx(source) else "checkpoint" if file else "module",
        "paconv.source_sha256": file_sha256(source) if file else None,
        "paconv.torch": torch_of(model),
        "paconv.version": __version__,
    }


def _is_onnx(source: Any) -> bool:
    if isinstance(source, (str, os.PathLike)):
        return not is_checkpoint(Path(source))
    return isinstance(source, onnx.ModelProto)


def _read(source: Any, input_shape: Any, model: Any, trust_pickle: bool) -> tuple[Any, tuple[Shape, ...]]:
    """The torch module and the shapes of its inputs; None and () of an ONNX file."""
    if _is_onnx(source):
        if model is not None or trust_pickle:
            raise UsageError("model and trust_pickle tell how to read a checkpoint; found an ONNX file")
        return None, ()
    module: Any = source
    if isinstance(source, (str, os.PathLike)):
        from paconv.checkpoint.loading import load

        module = load(source, model, trust_pickle=trust_pickle)
    shape = getattr(module, "paconv_input_shape", None) if input_shape is None else input_shape
    if shape is None:
        raise UsageError("the model does not carry its input shape; give input_shape=(C, H, W) (--input-shape CxHxW)")
    if getattr(module, "paconv_conversion", None) is not None:
        raise UsageError("the model is converted already; quantize its float parent, or export it as it is")
    return module, checked_shapes(shape)


def _exported(module: nn.Module, shapes: tuple[Shape, ...]) -> PlainModel:
    from paconv.to_onnx.exporter import exported

    return plain_model(exported(module, shapes)[0])


def is_checkpoint(path: Path) -> bool:
    """Whether a file is torch's, by its first bytes or its name."""
    try:
        with path.open("rb") as file:
            return file.read(len(_ZIP)) == _ZIP or path.suffix in _TORCH_SUFFIXES
    except OSError:
        return path.suffix in _TORCH_SUFFIXES
