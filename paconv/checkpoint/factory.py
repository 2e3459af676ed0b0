"""`--model package.module:function`: the user's own code that makes a model, and where it is looked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from paconv.errors import UsageError

__all__ = ["find_factory", "users_model"]


def find_factory(spec: str) -> Callable:
    """The callable that "package.module:function" names.

    Raises UsageError if the text is malformed, the module can't be imported, or it has no such callable.
    """
    module_name, colon, attribute = spec.partition(":")
    if not (colon and module_name and attribute):
        raise UsageError(f"--model: expected package.module:function, found {spec!r}")
    try:
        found = import_module(module_name)
    except Exception as error:  # the user's module runs when it is imported
        raise UsageError(f"--model: importing {module_name} failed: {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UsageError(f"--model: module {module_name} has no {attribute}; give the name of a function in it")
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"--model: {spec} is a {type(found).__name__}; expected a function that returns the model")
    return found


@contextmanager
def _current_folder_importable(*, first: bool = False) -> Iterator[None]:
    """Within it, modules in the current folder can be imported.

    They are looked for after all others, so that none of them stands in for one of torch's; first: before, as in
    `python -m`, for as long as the user's own code is imported and run.
    """
    folder = os.getcwd()
    sys.path.insert(0 if first else len(sys.path), folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.pop(sys.path.index(folder) if first else len(sys.path) - 1 - sys.path[::-1].index(folder))


@contextmanager
def users_model(
    path: str | os.PathLike, factory: str | None, trust_pickle: bool, state_dict: str | None = None
) -> Iterator[Any]:
    """The checkpoint `path` itself, or, where the user's own code makes its model, that model, read with it.

    factory, trust_pickle: as `paconv export` takes them; without either, no module of the current folder is imported.
    Within the context those of the current folder can be, as the model's code may ask for them when it runs.
    state_dict: as of paconv.load. Raises UsageError for one of a checkpoint whose model isn't made here.
    """
    if factory is None and not trust_pickle:
        if state_dict is not None:
            raise UsageError(
                "--state-dict is for a checkpoint whose model --model PKG.MOD:FUNCTION makes; give that too"
            )
        yield path
        return
    from paconv.checkpoint.loading import load

    with _current_folder_importable(first=True):
        made = None if factory is None else find_factory(factory)
        model = load(path, made, trust_pickle=trust_pickle, state_dict=state_dict)
    with _current_folder_importable():
        yield model
