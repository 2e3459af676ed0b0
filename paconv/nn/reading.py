"""What `convert` has to know about a network: the order in which its layers run, which of them read one tensor, which
read what a ReLU left or nothing negative, and from which a model output is reached.

Three ways, the first that works:
- traced: torch.fx follows the code symbolically, functional relu, + and flatten included;
- recorded: a forward of zeros of a given input shape, watched by hooks;
- defined: the order in which the layers were defined; nothing is known about tensors.

A relu between a tensor and a convolution is looked through, since PA(relu(x)) = PA(x) where every endpoint is positive.

Layers are those of torch and of classes derived from them, whatever their own code does. A convolution whose weight is
no parameter, or needs no gradient and consists of small integers times a unit, is a constant and none of the network's
layers: as the projection that turns a detector's distributions into distances, or a blur.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from paconv.errors import UsageError
from paconv.grid import MOST_ACTIVATION, integers_of
from paconv.nn.computed_weights import copied
from paconv.nn.nonnegative import NonNegativeTensors, nonnegative_nodes
from paconv.nn.rectified import RectifiedTensors, rectified_nodes
from paconv.nn.shortcuts import shortcut_nodes
from paconv.nn.upstream import UpstreamTensors, heads_of_graph

__all__ = [
    "LAYERS",
    "NON_NEGATIVE",
    "RECTIFIED",
    "SIGNED",
    "UNKNOWN",
    "Reading",
    "is_constant",
    "read",
    "sizes_read",
]

LAYERS = (_ConvNd, nn.Linear)
"""Layers with weights that could be approximated."""

_RELU_FUNCTIONS = (F.relu, F.relu_, torch.relu, torch.relu_)
_RELU_METHODS = ("relu", "relu_")
_RELU_MODULES = (nn.ReLU,)

RECTIFIED, NON_NEGATIVE, SIGNED, UNKNOWN = "rectified", "non-negative", "signed", "unknown"
"""What a layer reads: what a ReLU left, nothing negative, what may be negative, or that isn't known."""


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
    nonnegative: frozenset[str]
    """The layers that read nothing negative (paconv.nn.nonnegative) whenever they run, those of `rectified` among them.
    """
    heads: frozenset[str]
    """The layers from which an output of the model is reached (paconv.nn.upstream)."""
    how: str
    """How that was found out: "traced", "recorded" or "defined"."""
    shortcuts: frozenset[str] = frozenset()
    """The 1x1 convolutions on the shortcut of a residual block (paconv.nn.shortcuts), known only if traced."""

    def reads(self, layer: str) -> str:
        """What the layer reads: RECTIFIED, NON_NEGATIVE, SIGNED or UNKNOWN."""
        if layer not in self.executed or self.how == "defined":
            return UNKNOWN
        if layer in self.rectified:
            return RECTIFIED
        return NON_NEGATIVE if layer in self.nonnegative else SIGNED


class _Run(NamedTuple):
    """A layer ran: it read the tensor with the key `source`; `outermost`: an input of the model; `rectified`: what
    a ReLU left; `nonnegative`: nothing negative.
    """

    name: str
    source: Hashable
    outermost: bool
    rectified: bool
    nonnegative: bool


def read(model: nn.Module, input_shape: tuple[int, ...] | None = None) -> Reading:
    """Read `model` by tracing, or by one forward of zeros (1, *input_shape) where that fails, or as it is
    defined.

    Raises UsageError if tracing fails and the model does not take an input of `input_shape`.
    """
    names = [name for name, module in model.named_modules() if isinstance(module, LAYERS)]
    shortcuts: frozenset[str] = frozenset()
    if (traced := _traced(model)) is not None:
        (runs, heads, shortcuts), how = traced, "traced"
    elif input_shape is not None:
        (runs, heads), how = _recorded(model, tuple(input_shape)), "recorded"
    else:
        none: frozenset[str] = frozenset()
        layers = [name for name in names if not is_constant(model.get_submodule(name))]
        return Reading(tuple(names), (), {}, none, none, none, frozenset(layers[-1:]), "defined")
    executed = tuple(dict.fromkeys(run.name for run in runs))
    unreached = tuple(name for name in names if name not in executed)
    keys: dict[str, set[Hashable]] = {}
    for run in runs:
        keys.setdefault(run.name, set()).add(run.source)
    sources = {name: found.pop() for name, found in keys.items() if len(found) == 1}
    rectified = frozenset(executed) - {run.name for run in runs if not run.rectified}
    nonnegative = frozenset(executed) - {run.name for run in runs if not run.nonnegative}
    outermost = frozenset(run.name for run in runs if run.outermost)
    return Reading(executed, unreached, sources, outermost, rectified, nonnegative, heads, how, shortcuts)


def is_constant(layer: nn.Module) -> bool:
    """Whether the layer is a convolution with constant weights, no layer of the network (module docstring)."""
    weight = getattr(layer, "weight", None)
    if not isinstance(layer, _ConvNd) or not isinstance(weight, Tensor) or weight.is_meta:
        return False
    if "weight" in layer._buffers:
        return True
    if "weight" not in layer._parameters or weight.requires_grad:
        return False
    values = np.unique(weight.detach().float().cpu().numpy())
    return values.size <= 2 * MOST_ACTIVATION + 1 and integers_of(values, MOST_ACTIVATION) is not None


class _Tracer(fx.Tracer):
    """Doesn't look into a layer, of whatever class it is."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LAYERS) or super().is_leaf_module(m, module_qualified_name)


def _traced(model: nn.Module) -> tuple[list[_Run], frozenset[str], frozenset[str]] | None:
    """Runs, heads and shortcuts."""
    model = copied(model)  # tracing leaves stand-ins in whatever the model's code stores on itself
    try:
        graph = _Tracer().trace(model)
    except Exception:  # the model's own code runs on stand-ins here, and may fail in any way
        return None
    modules = dict(model.named_modules(remove_duplicate=False))
    names = {id(module): name for name, module in model.named_modules()}
    rectified = rectified_nodes(graph, modules)
    nonnegative = nonnegative_nodes(graph, modules, rectified)
    runs: list[_Run] = []
    for node in graph.nodes:
        if node.op == "call_module" and isinstance(modules[node.target], LAYERS):
            x = node.all_input_nodes[0]
            source = _source(x, modules)
            name = names[id(modules[node.target])]
            runs.append(_Run(name, source.name, source.op == "placeholder", x in rectified, x in nonnegative))

    def layer_of(node: fx.Node) -> str | None:
        layer = modules[str(node.target)] if node.op == "call_module" else None
        return names[id(layer)] if isinstance(layer, LAYERS) and not is_constant(layer) else None

    shortcuts = frozenset(names[id(modules[str(node.target)])] for node in shortcut_nodes(graph, modules))
    return runs, heads_of_graph(graph, layer_of), shortcuts


def _source(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node:
    """The node behind any relus."""
    while (
        (node.op == "call_function" and node.target in _RELU_FUNCTIONS)
        or (node.op == "call_method" and node.target in _RELU_METHODS)
        or (node.op == "call_module" and isinstance(modules[str(node.target)], _RELU_MODULES))
    ):
        node = node.all_input_nodes[0]
    return node


def _recorded(model: nn.Module, input_shape: tuple[int, ...]) -> tuple[list[_Run], frozenset[str]]:
    """Runs and heads."""
    watched, given = _watched(model, input_shape)
    seen: list[Tensor] = []  # kept alive, so that no two tensors have one id
    rectified, nonnegative, upstream = RectifiedTensors(), NonNegativeTensors(), UpstreamTensors()
    runs: list[_Run] = []

    def watch(name: str, layer: nn.Module) -> None:
        def hook(_, args: tuple, kwargs: dict) -> None:
            x = args[0] if args else kwargs["input"]
            seen.append(x)
            runs.append(_Run(name, (id(x), x._version), x is given, x in rectified, x in nonnegative))

        def ran(_, args: tuple, kwargs: dict, made: Tensor) -> None:
            upstream.ran(name, args[0] if args else kwargs["input"], made)

        layer.register_forward_pre_hook(hook, with_kwargs=True)
        if not is_constant(layer):
            layer.register_forward_hook(ran, with_kwargs=True)

    for name, module in watched.named_modules():
        if isinstance(module, LAYERS):
            watch(name, module)
    with rectified, nonnegative, upstream:
        outputs = _run(watched, given)
    return runs, upstream.heads(outputs)


def sizes_read(
    model: nn.Module, layers: Iterable[str], input_shape: tuple[int, ...]
) -> dict[str, set[tuple[int, int]]]:
    """Height and width of what each of the `layers` reads, in a forward of zeros (1, *input_shape).

    Raises UsageError if the model doesn't take such an input.
    """
    watched, given = _watched(model, input_shape)
    sizes: dict[str, set[tuple[int, int]]] = {name: set() for name in layers}

    def watch(name: str) -> None:
        def hook(_, args: tuple, kwargs: dict) -> None:
            height, width = (args[0] if args else kwargs["input"]).shape[-2:]
            sizes[name].add((height, width))

        watched.get_submodule(name).register_forward_pre_hook(hook, with_kwargs=True)

    for name in sizes:
        watch(name)
    _run(watched, given)
    return sizes


def _watched(model: nn.Module, input_shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    """A copy to hang hooks on, and its input."""
    watched = copied(model).eval()
    like = next(watched.parameters(), torch.zeros(()))
    return watched, torch.zeros(1, *input_shape, dtype=like.dtype, device=like.device)


def _run(model: nn.Module, x: Tensor) -> object:
    try:
        with torch.no_grad():
            return model(x)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise UsageError(f"the model does not take one input of shape {tuple(x.shape)}: {error}") from error
