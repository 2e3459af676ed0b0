"""`--model package.module:function`: find the function that makes the user's model."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

from paconv.errors import UsageError

__all__ = ["current_folder_importable", "find_factory"]


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
def current_folder_importable() -> Iterator[None]:
    """Within it, modules in the current folder can be imported, as in `python -m`."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
