"""The file: what is in it, and reading it without running anything that it holds.

A checkpoint is the zip archive that torch.save writes, of a dict

    format        "paconv"
    version       1
    architecture  name in paconv.models, or None
    config        arguments of that architecture (JSON values)
    conversion    configuration recorded by paconv.convert (JSON values), or None
    input_shape   one list of ints for each input, without the batch, or None
    state_dict    name -> tensor
"""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from paconv.checkpoint.state_dicts import chosen, found_by_itself
from paconv.errors import CheckpointError, UsageError
from paconv.files import replacing
from paconv.input_shape import Shape, checked_shapes

__all__ = ["TRAINING", "Contents", "check_file", "read_contents", "read_pickled", "write_archive"]

FORMAT, VERSION = "paconv", 1
TRAINING = "paconv-training"
"""The format of a training's state (paconv.train.state), which isn't a checkpoint."""

_FIELDS = {
    "architecture": (str, type(None)),
    "config": (dict,),
    "conversion": (dict, type(None)),
    "input_shape": (list, type(None)),
    "state_dict": (dict,),
}


def write_archive(contents: dict, path: str | os.PathLike) -> None:
    """torch.save to `path`, in place of an older file only once it is complete. Raises PaconvError where it can't be
    written.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(contents, file)
        except RuntimeError as error:  # of the archive's end, after that of a full disk
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
        file.flush()
        os.fsync(file.fileno())  # the rename must not reach the disk before the contents


@dataclass(frozen=True)
class Contents:
    """What a checkpoint holds. A bare state dict has neither architecture nor conversion nor shapes."""

    architecture: str | None
    """Name of a zoo architecture, if any."""
    config: dict
    """Its keyword arguments."""
    conversion: dict | None
    """What paconv.convert recorded, if anything."""
    input_shapes: tuple[Shape, ...] | None
    """(C, H, W) per input, if known."""
    state_dict: dict[str, Tensor]
    """Weights by name, on the CPU."""

    def as_dict(self) -> dict:
        """The dict that is saved."""
        shapes = self.input_shapes
        return {
            "format": FORMAT,
            "version": VERSION,
            "architecture": self.architecture,
            "config": self.config,
            "conversion": self.conversion,
            "input_shape": None if shapes is None else [list(shape) for shape in shapes],
            "state_dict": self.state_dict,
        }


def read_contents(path: str | os.PathLike, state_dict: str | None = None) -> Contents:
    """Read a checkpoint, or a state dict, bare or in a training checkpoint. Nothing stored in the file is executed.

    state_dict: where it lies in a training checkpoint (paconv.checkpoint.state_dicts), None to find it. Raises
    CheckpointError if the file is none of these, is damaged, or is a pickled model.
    """
    path = Path(path)
    check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what it then refuses
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: it holds pickled Python objects, which can run any code when they are loaded; refused; if you "
            "trust where it comes from, pass --trust-pickle (trust_pickle=True), or save the model with paconv.save"
        ) from error
    except Exception as error:  # torch's reader meets damaged bytes with errors of any type
        raise _damaged(path, error) from error
    made = _contents(path, found, state_dict)
    assert isinstance(made, Contents)  # with weights_only=True there are no modules
    return made


def read_pickled(path: str | os.PathLike, state_dict: str | None = None) -> Contents | nn.Module:
    """The same of a file that may hold pickled objects, or a module itself. Runs the code it holds."""
    path = Path(path)
    check_file(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # unpickling runs the file's own code
        raise CheckpointError(f"{path}: can't be unpickled: {type(error).__name__}: {error}") from error
    return found if isinstance(found, nn.Module) and state_dict is None else _contents(path, found, state_dict)


def check_file(path: Path) -> None:
    """Refuse what torch.load would answer with something unhelpful, and archives larger than they look.

    Raises CheckpointError, also for a record that does not match its checksum.
    """
    if path.is_dir():
        raise CheckpointError(f"{path}: expected a checkpoint file, found a directory")
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not head:
        raise CheckpointError(f"{path}: expected a checkpoint, found an empty file")
    if head[:1] == b"\x80":  # a pickle, as torch.save wrote before torch 1.6
        return
    if head[:2] != b"PK":
        hint = "; it looks like an ONNX model, which needs no export" if head[:1] == b"\x08" else ""
        raise CheckpointError(f"{path}: expected a checkpoint written by paconv.save, found another kind of file{hint}")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _damaged(path, error) from error
    if not any(entry.filename.endswith("/data.pkl") for entry in entries):
        raise CheckpointError(f"{path}: expected a checkpoint written by paconv.save, found another zip archive")
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    if not stored or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise CheckpointError(
            f"{path}: expected the uncompressed archive that torch.save writes, found a compressed one"
        )
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise CheckpointError(
            f"{path}: it is a TorchScript archive, whose modules are no longer there; save the original model "
            "with paconv.save"
        )
    _check_sums(path)


def _check_sums(path: Path) -> None:
    """Compare every record with its CRC, which torch.load doesn't. Raises CheckpointError naming the first misfit."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError) as error:
        raise _damaged(path, error) from error
    if damaged is not None:
        raise CheckpointError(
            f"{path}: expected a checkpoint written by paconv.save; it is damaged: record {damaged} doesn't match its "
            "checksum; copy or save it again"
        )


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return CheckpointError(
        f"{path}: expected a checkpoint written by paconv.save; it is cut short or damaged: {reason}"
    )


def _contents(path: Path, found: object, state_dict: str | None) -> Contents | nn.Module:
    if not isinstance(found, dict):
        raise CheckpointError(
            f"{path}: expected a checkpoint written by paconv.save, found a {type(found).__name__}; save the model so"
        )
    if state_dict is not None and found.get("format") == FORMAT:
        raise CheckpointError(f"{path}: it was written by paconv.save, and has one state dict; leave --state-dict out")
    if state_dict is not None or "format" not in found or isinstance(found["format"], Tensor):
        try:
            weights = found_by_itself(found) if state_dict is None else chosen(found, state_dict)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        if isinstance(weights, nn.Module):
            return weights
        return Contents(None, {}, None, None, _checked_tensors(path, dict(weights)))
    if found["format"] == TRAINING:
        raise CheckpointError(
            f"{path}: it is the state of a training, for --resume; the trained model is model.pt beside"
        )
    if found["format"] != FORMAT or type(found.get("version")) is not int:
        raise CheckpointError(
            f"{path}: expected format {FORMAT!r} with a version number, found "
            f"{found['format']!r} with {found.get('version')!r}"
        )
    if found["version"] != VERSION:
        raise CheckpointError(
            f"{path}: expected version {VERSION} of the format, found {found['version']}; use the paconv that wrote it"
        )
    for field, types in _FIELDS.items():
        if field not in found or not isinstance(found[field], types):
            expected = " or ".join("None" if t is type(None) else t.__name__ for t in types)
            raise CheckpointError(
                f"{path}: field {field}: expected {expected}, found {type(found.get(field)).__name__}; save it again"
            )
    try:
        shapes = None if found["input_shape"] is None else checked_shapes(found["input_shape"])
    except UsageError as error:
        raise CheckpointError(f"{path}: field input_shape: {error}") from error
    state = _checked_tensors(path, found["state_dict"])
    return Contents(found["architecture"], found["config"], found["conversion"], shapes, state)


def _checked_tensors(path: Path, state: dict) -> dict[str, Tensor]:
    for name, value in state.items():
        dense = isinstance(value, Tensor) and value.layout is torch.strided and value.device.type == "cpu"
        if not isinstance(name, str) or not dense or value.is_quantized:
            raise CheckpointError(
                f"{path}: state dict: expected dense tensors by name, found another value at {name!r}"
            )
    return dict(state)
