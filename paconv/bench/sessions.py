"""Models as sessions that are fed the same arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paconv.errors import ModelError, UsageError
from paconv.measure.turns import Feed, Timed

__all__ = ["fed_with", "open_timed"]


def open_timed(
    path: str | os.PathLike, feeds: Mapping[str, np.ndarray], threads: int, kernel: str | None = None
) -> Timed:
    """The model in `path`, any that onnxruntime runs, fed with `feeds`.

    Raises ModelError for a missing file or one that onnxruntime can't run, UsageError if `feeds` don't fit.
    """
    if not Path(path).is_file():
        raise ModelError(f"{path}: no such file")
    return Timed(path, threads, feed=fed_with(feeds, str(path)), kernel=kernel)


def fed_with(feeds: Mapping[str, np.ndarray], label: str) -> Feed:
    """A feed of these arrays: by name, or the one array for the one input whatever its name.

    Calling it raises UsageError, naming the model by `label`, for inputs of other names, types or shapes.
    """

    def feed(inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        if len(inputs) == len(feeds) == 1:
            given = {inputs[0].name: next(iter(feeds.values()))}
        else:
            given = dict(feeds)
        names = [i.name for i in inputs]
        if sorted(names) != sorted(given):
            raise UsageError(f"{label}: expected the inputs {', '.join(sorted(given))}; found {', '.join(names)}")
        for i in inputs:
            _check(i, given[i.name], label)
        return given

    return feed


def _check(declared: Any, array: np.ndarray, label: str) -> None:
    sizes = declared.shape
    fits = len(sizes) == array.ndim and all(
        size == n for size, n in zip(sizes, array.shape, strict=True) if isinstance(size, int)
    )
    kind = {"float32": "float", "float64": "double"}.get(array.dtype.name, array.dtype.name)
    if not fits or declared.type != f"tensor({kind})":
        raise UsageError(
            f"{label}: expected an input of {kind} {list(array.shape)}, as the first model's; found "
            f"'{declared.name}' of {declared.type} {sizes}"
        )
