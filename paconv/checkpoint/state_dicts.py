"""State dicts as trainings leave them: in a larger checkpoint, and with something that a wrapper put before the names.

A training checkpoint is a dict of which one value, or one of a dict in it, is the state dict: tensors by name. The rest
(epoch, optimizer, arguments) is left out. Which value that is goes by the values themselves, where only one is such.

DataParallel names a model's tensors `module.NAME`, torch.compile `_orig_mod.NAME`, Lightning `model.NAME`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from paconv.errors import CheckpointError

__all__ = ["chosen", "found_by_itself", "prefix_of", "without_prefix"]

_COUNTERS = {"n_averaged"}
"""What wrappers have beside the model's tensors: AveragedModel counts its updates."""


def found_by_itself(found: Mapping) -> Mapping[str, Tensor] | nn.Module:
    """The state dict (or, of a file that is trusted, the module) in what torch.load read.

    Raises CheckpointError where there is none, or several that it might be.
    """
    if _is_state_dict(found):
        return found
    keys = [key for key, value in found.items() if _is_state_dict(value) or isinstance(value, nn.Module)]
    if len(keys) == 1:
        return found[keys[0]]
    listed = ", ".join(map(str, list(found)[:6])) or "nothing in it"
    if not keys:
        raise CheckpointError(
            f"expected a checkpoint written by paconv.save, or a state dict, found a dict with {listed}; say where in "
            "it the weights are, with dots between keys (--state-dict KEY, state_dict=KEY), or load its weights into "
            "the model and save that with paconv.save"
        )
    raise CheckpointError(
        f"expected one state dict, found several ({', '.join(map(str, keys))}); say which is meant (--state-dict KEY, "
        "state_dict=KEY)"
    )


def chosen(found: object, path: str) -> Mapping[str, Tensor] | nn.Module:
    """What lies in `found` at `path`: keys with dots between, the last of which may be what names begin with.

    Raises CheckpointError where there is no state dict.
    """
    at, rest = found, path
    while rest and isinstance(at, Mapping):
        key = next((key for key in _leading(rest) if key in at), None)
        if key is None:
            break
        at, rest = at[key], rest[len(key) + 1 :]
    if not rest and (isinstance(at, nn.Module) or _is_state_dict(at)):
        return at  # type: ignore[return-value]
    if rest and isinstance(at, Mapping):
        part = {
            name[len(rest) + 1 :]: v for name, v in at.items() if isinstance(name, str) and name.startswith(f"{rest}.")
        }
        if _is_state_dict(part):
            return part
    there = f"found {type(at).__name__}" if not isinstance(at, Mapping) else f"found {_some(at)}"
    raise CheckpointError(f"--state-dict {path} (state_dict): expected tensors by name there, {there}")


def without_prefix(state: dict[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """`state` with the names that a model has (`wanted`), where all of its names have the same before them."""
    prefix = prefix_of(state, wanted)
    if prefix is None:
        return state
    names = [name for name in state if name not in _COUNTERS]
    if not all(name.startswith(prefix) for name in names):
        return state
    return {name[len(prefix) :]: state[name] for name in names}


def prefix_of(state: Mapping[str, Any], wanted: Collection[str]) -> str | None:
    """What `state` has before each name of `wanted`; None where there are others, or nothing is before them."""
    first = next(iter(wanted), None)
    if first is None or first in state:
        return None
    prefixes = (name[: -len(first)] for name in state if name.endswith(f".{first}"))
    return next((each for each in prefixes if all(each + name in state for name in wanted)), None)


def _leading(path: str) -> list[str]:
    """The path's first key, and longer ones that have dots themselves."""
    parts = path.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts) + 1)]


def _is_state_dict(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) and isinstance(each, Tensor) for name, each in value.items())
    )


def _some(found: Mapping) -> str:
    names = list(map(str, found))
    return (", ".join(names[:6]) + (", ..." if len(names) > 6 else "")) or "nothing"
