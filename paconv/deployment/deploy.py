"""`paconv.deploy`: pa.onnx to a model repository that a server takes as it is.

FOLDER/NAME/1/model.onnx     the model, with its external data if it had any
FOLDER/NAME/config.pbtxt     shapes, batching, instances, and where the library is
FOLDER/NAME/libpaconv.so     the custom-op library, if the model has ops of it
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import onnx

from paconv import variables
from paconv.deployment.folder import replacing_folder
from paconv.deployment.library import library_machine
from paconv.deployment.signature import read_signature
from paconv.deployment.triton_config import TritonOptions, batch_limit, config_text
from paconv.errors import UsageError

__all__ = ["DEFAULT_SERVED_AT", "SERVERS", "Deployment", "deploy"]

SERVERS = ("triton",)
DEFAULT_SERVED_AT = "/models"
_MODEL, _CONFIG, _LIBRARY = "1/model.onnx", "config.pbtxt", "libpaconv.so"


@dataclass(frozen=True)
class Deployment:
    """What `deploy` wrote."""

    folder: Path
    """The model's folder in the repository."""
    name: str
    """What clients call the model."""
    max_batch_size: int
    """The batch size that the configuration allows; 0 for no batching."""
    machine: str | None
    """The processor that the library is for; None if the model has none of paconv's ops and needs no library."""


def deploy(
    model: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    server: str = "triton",
    name: str | None = None,
    library: str | os.PathLike | None = None,
    served_at: str = DEFAULT_SERVED_AT,
    max_batch_size: int | None = None,
    preferred_batch_sizes: Sequence[int] = (),
    max_queue_delay: int | None = None,
    instances: int = 1,
    threads: int | None = None,
    force: bool = False,
) -> Deployment:
    """Write the ONNX file `model` into the model repository `folder`, ready to be served.

    Args:
        model: The ONNX file to serve.
        folder: The model repository; the model gets a folder of its own in it.
        server: The server to write for: "triton".
        name: What clients call the model; by default its file name without suffix.
        library: Another build of the custom-op library, such as one for another processor; by default
            `paconv.library_path()`.
        served_at: Where the server sees `folder`, an absolute path: it looks for the library there.
        max_batch_size: See TritonOptions, as for the next four.
        preferred_batch_sizes: Batch sizes to run at once.
        max_queue_delay: Microseconds.
        instances: Runs of the model at the same time.
        threads: Threads per instance.
        force: Replace a model of this name, if its folder holds nothing but files from `deploy`.

    Returns:
        What was written, and for which processor.

    Raises:
        ModelError: The file can't be served.
        UsageError: Options don't fit the model or one another.
        PaconvError: The folder can't be written. Nothing is left half-written.
    """
    if server not in SERVERS:
        raise UsageError(f"server: expected {' or '.join(SERVERS)}, found {server}")
    path, repository = Path(model), Path(folder)
    name = _checked_name(path.stem if name is None else name)
    if not PurePosixPath(served_at).is_absolute():
        raise UsageError(f"served at: expected an absolute path in the server's file system, found {served_at!r}")
    options = TritonOptions(max_batch_size, tuple(preferred_batch_sizes), max_queue_delay, instances, threads)

    if library is None and variables.jit():
        raise UsageError("PACONV_JIT=1 makes a library for its own process only; unset it, or give --library")
    what = read_signature(path)
    shipped = _library_to_ship(library) if what.needs_library else None
    machine = None if shipped is None else library_machine(shipped)
    library_path = None if shipped is None else str(PurePosixPath(served_at) / name / _LIBRARY)
    config = config_text(name, what, options, library_path, str(path))

    target = repository / name
    with replacing_folder(target, frozenset({_MODEL, _CONFIG, _LIBRARY}), force=force) as temporary:
        (temporary / _MODEL).parent.mkdir()
        # As read from the file, without the shapes inferred above; external data comes into this one file.
        (temporary / _MODEL).write_bytes(onnx.load(path).SerializeToString())
        (temporary / _CONFIG).write_text(config, encoding="utf-8")
        if shipped is not None:
            shutil.copyfile(shipped, temporary / _LIBRARY)
    return Deployment(target, name, batch_limit(what, options), machine)


def _checked_name(name: str) -> str:
    """The name is a folder and a part of a URL."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UsageError(f"name: expected letters, digits, '.', '_' and '-', found {name!r}; give another (--name)")
    return name


def _library_to_ship(library: str | os.PathLike | None) -> Path:
    if library is not None:
        return Path(library)
    from paconv.runtime.library import library_path  # a model without its ops can do without

    return Path(library_path())
