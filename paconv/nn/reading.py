"""What `convert` has to know about a network: the order in which its layers run, which of them read one tensor,
and which read what a ReLU left.

Three ways, the first that works:
- traced: torch.fx follows the code symbolically, functional relu, + and flatten included;
- recorded: a forward of zeros of a given input shape, watched by hooks;
- defined: the order in which the layers were defined; nothing is known about tensors.

A relu between a tensor and a convolution is looked through, since PA(relu(x)) = PA(x): every endpoint is positive.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from paconv.errors import UsageError
from paconv.nn.rectified import RectifiedTensors, rectified_nodes
from paconv.nn.shortcuts import shortcut_nodes

__all__ = ["LAYERS", "Reading", "read"]

LAYERS = (_ConvNd, nn.Linear)
"""Layers with weights that could be approximated."""

_RELU_FUNCTIONS = (F.relu, F.relu_, torch.relu, torch.relu_)
_RELU_METHODS = ("relu", "relu_")
_RELU_MODULES = (nn.ReLU,)


@dataclass(frozen=True)
class Reading:
    """How a model runs its layers."""

    executed: tuple[str, ...]
    """Names of LAYERS in the order they run."""
    unreached: tuple[str, ...]
    """The others, as defined."""
    sources: dict[str, Hashable]
    """For the layers that read one and the same tensor whenever they run, a key of that tensor."""
    outermost: frozenset[str]
    """The layers that read an input of the model at least once."""
    rectified: frozenset[str]
    """The layers that read the output of a ReLU (paconv.nn.rectified) whenever they run."""
    how: str
    """How that was found out: "traced", "recorded" or "defined"."""
    shortcuts: frozenset[str] = frozenset()
    """The 1x1 convolutions on the shortcut of a residual block (paconv.nn.shortcuts), known only if traced."""


class _Run(NamedTuple):
    """A layer ran: it read the tensor with the key `source`; `outermost`: an input of the model; `rectified`: what
    a ReLU left.
    """

    name: str
    source: Hashable
    outermost: bool
    rectified: bool


def read(model: nn.Module, input_shape: tuple[int, ...] | None = None) -> Reading:
    """Read `model` by tracing, or by one forward of zeros (1, *input_shape) where that fails, or as it is
    defined.

    Raises UsageError if tracing fails and the model does not take an input of `input_shape`.
    """
    names = [name for name, module in model.named_modules() if isinstance(module, LAYERS)]
    traced = _traced(model)
    runs, shortcuts = (None, frozenset()) if traced is None else traced
    how = "traced"
    if runs is None and input_shape is not None:
        runs, how = _recorded(model, tuple(input_shape)), "recorded"
    if runs is None:
        return Reading(tuple(names), (), {}, frozenset(), frozenset(), "defined")
    executed = tuple(dict.fromkeys(run.name for run in runs))
    unreached = tuple(name for name in names if name not in executed)
    keys: dict[str, set[Hashable]] = {}
    for run in runs:
        keys.setdefault(run.name, set()).add(run.source)
    sources = {name: found.pop() for name, found in keys.items() if len(found) == 1}
    rectified = frozenset(executed) - {run.name for run in runs if not run.rectified}
    outermost = frozenset(run.name for run in runs if run.outermost)
    return Reading(executed, unreached, sources, outermost, rectified, how, shortcuts)


def _traced(model: nn.Module) -> tuple[list[_Run], frozenset[str]] | None:
    model = copy.deepcopy(model)  # tracing leaves stand-ins in whatever the model's code stores on itself
    try:
        graph = fx.Tracer().trace(model)
    except Exception:  # the model's own code runs on stand-ins here, and may fail in any way
        return None
    modules = dict(model.named_modules(remove_duplicate=False))
    names = {id(module): name for name, module in model.named_modules()}
    rectified = rectified_nodes(graph, modules)
    runs: list[_Run] = []
    for node in graph.nodes:
        if node.op == "call_module" and isinstance(modules[node.target], LAYERS):
            x = node.all_input_nodes[0]
            source = _source(x, modules)
            name = names[id(modules[node.target])]
            runs.append(_Run(name, source.name, source.op == "placeholder", x in rectified))
    return runs, frozenset(names[id(modules[str(node.target)])] for node in shortcut_nodes(graph, modules))


def _source(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node:
    """The node behind any relus."""
    while (
        (node.op == "call_function" and node.target in _RELU_FUNCTIONS)
        or (node.op == "call_method" and node.target in _RELU_METHODS)
        or (node.op == "call_module" and isinstance(modules[str(node.target)], _RELU_MODULES))
    ):
        node = node.all_input_nodes[0]
    return node


def _recorded(model: nn.Module, input_shape: tuple[int, ...]) -> list[_Run]:
    watched = copy.deepcopy(model).eval()
    like = next(watched.parameters(), torch.zeros(()))
    given = torch.zeros(1, *input_shape, dtype=like.dtype, device=like.device)
    seen: list[Tensor] = []  # kept alive, so that no two tensors have one id
    rectified = RectifiedTensors()
    runs: list[_Run] = []

    def watch(name: str, layer: nn.Module) -> None:
        def hook(_, args: tuple, kwargs: dict) -> None:
            x = args[0] if args else kwargs["input"]
            seen.append(x)
            runs.append(_Run(name, (id(x), x._version), x is given, x in rectified))

        layer.register_forward_pre_hook(hook, with_kwargs=True)

    for name, module in watched.named_modules():
        if isinstance(module, LAYERS):
            watch(name, module)
    try:
        with torch.no_grad(), rectified:
            watched(given)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise UsageError(f"the model does not take one input of shape {(1, *input_shape)}: {error}") from error
    return runs
