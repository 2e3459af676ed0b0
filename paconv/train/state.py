"""The state of a training in a file, from which it goes on as if it had never stopped.

`state.pt` is a torch.save of a dict of tensors and plain values, read with weights_only=True. It is written to a
temporary file, which then takes its place: whenever the process is killed, a whole state is there, the old or the new.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from paconv.checkpoint.container import TRAINING as FORMAT
from paconv.checkpoint.container import check_file, write_archive
from paconv.errors import CheckpointError

__all__ = ["TrainingState", "load_state", "save_state"]

VERSION = 1

_KINDS = {"identity": dict, "model": dict, "optimizer": dict, "random": list, "epoch": int, "step": int, "totals": list,
          "history": list}  # fmt: skip


@dataclass
class TrainingState:
    """What a training needs to go on."""

    identity: dict
    """What is trained, how and on what (JSON values); a training goes on only with the same."""
    model: dict
    """State dict."""
    optimizer: dict
    """State dict."""
    random: list
    """Random state, per process."""
    epoch: int
    """Of the next step."""
    step: int
    """The next step, counted within the epoch."""
    totals: list
    """The epoch's sums so far."""
    history: list
    """Measures of the epochs done."""


def save_state(state: TrainingState, path: str | os.PathLike) -> None:
    """Write `state`, in place of an older one only once it is complete. Raises PaconvError if that can't be done."""
    contents = {field.name: getattr(state, field.name) for field in fields(state)}
    write_archive({"format": FORMAT, "version": VERSION, **contents}, path)


def load_state(path: str | os.PathLike) -> TrainingState:
    """The state in `path`. Nothing stored in it is executed. Raises CheckpointError if it is no whole state."""
    path = Path(path)
    check_file(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader meets damaged bytes with errors of any type
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise CheckpointError(f"{path}: expected the state of a training; it can't be read: {reason}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected the state of a training, found another file")
    if found.get("version") != VERSION:
        raise CheckpointError(
            f"{path}: expected version {VERSION} of a training's state, found {found.get('version')}; use the paconv "
            "that wrote it"
        )
    for field in fields(TrainingState):
        if field.name not in found:
            raise CheckpointError(f"{path}: expected the state of a training; it has no {field.name}")
        value, kind = found[field.name], _KINDS[field.name]
        if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and value < 0):
            raise CheckpointError(
                f"{path}: expected the state of a training; its {field.name} is {type(value).__name__}"
            )
    totals = found["totals"]
    if len(totals) != 3 or not all(isinstance(each, float | int) for each in totals):
        raise CheckpointError(f"{path}: expected the state of a training; its totals are {totals!r}")
    return TrainingState(**{field.name: found[field.name] for field in fields(TrainingState)})
