"""What `convert` changed and what it left, with reasons, to print."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import nn

from paconv.errors import UsageError
from paconv.nn.reading import LAYERS, NON_NEGATIVE, RECTIFIED, SIGNED, UNKNOWN
from paconv.nn.schemes.registry import scheme_class
from paconv.nn.share import Share, share_of
from paconv.nn.wrapping import unwrapped
from paconv.reporting.notebook import as_html
from paconv.reporting.tables import Column, Table

_READS = {
    RECTIFIED: "reads what a ReLU left",
    NON_NEGATIVE: "reads nothing negative",
    SIGNED: "reads signed activations",
    UNKNOWN: "what it reads is unknown",
}

_FUSING = ("reparameterize", "switch_to_deploy", "fuse", "fuse_convs", "fuse_branches")
"""Methods by which blocks with branches for training become one layer."""

__all__ = ["Conversion", "ConvertedConv", "KeptLayer", "conversion_of"]

_ORDERS = {
    "traced": "layers traced",
    "recorded": "layers recorded in a forward",
    "defined": "layers as defined, torch.fx can't trace the model; give input_shape to see what they read",
}


@dataclass(frozen=True)
class ConvertedConv:
    """A converted convolution. activation: name of the conv whose activation quantizer it uses, None for none; reads:
    what it reads ("rectified", "non-negative", "signed", "unknown": paconv.nn.reading); signed: whether its activation
    quantizer has levels on both sides of 0; rewritten: what became of a class derived from nn.Conv2d, or of a computed
    weight, "" for neither.
    """

    name: str
    shape: str
    activation: str | None
    reads: str = UNKNOWN
    signed: bool = False
    rewritten: str = ""


@dataclass(frozen=True)
class KeptLayer:
    """A layer that stays real, why in a word (`code`) and in a sentence (`reason`)."""

    name: str
    code: str
    reason: str


@dataclass(frozen=True)
class Conversion:
    """The outcome of a conversion; `str` gives a line per layer."""

    scheme: str
    """Name of the scheme."""
    M: int
    """Weight planes."""
    N: int | None
    """Activation planes; None for full precision."""
    order: str
    """How the order of layers was found, in words."""
    converted: tuple[ConvertedConv, ...]
    """The quantized convolutions."""
    kept: tuple[KeptLayer, ...]
    """The layers that stay real."""
    branches: tuple[tuple[str, str], ...]
    """Name of each module with several layers that it has a method to make one of, and that method's name."""
    model: nn.Module = field(repr=False, compare=False)
    """The converted model."""

    def __repr__(self) -> str:
        planes = f"M={self.M}, N={'full' if self.N is None else self.N}"
        counts = f"{len(self.converted)} converted, {len(self.kept)} kept real"
        return f"{type(self).__name__}({self.scheme}, {planes}: {counts})"

    def _repr_html_(self) -> str:
        columns = [Column(key, key, left=True) for key in ("layer", "form", "weights", "why")]
        rows = [
            {"layer": conv.name, "form": self.scheme, "weights": conv.shape, "why": _READS[conv.reads]}
            for conv in self.converted
        ]
        rows += [{"layer": layer.name, "form": "real", "why": layer.reason} for layer in self.kept]
        return as_html(Table(repr(self), columns, rows, notes=[str(self.share())]))

    def __str__(self) -> str:
        width = max(len(name) for name in (*(c.name for c in self.converted), *(k.name for k in self.kept)))
        planes = f"M={self.M}, N={'full precision' if self.N is None else self.N}"
        title = scheme_class(self.scheme).title
        share = self.share()
        counts = f"{len(self.converted)} converted, {len(self.kept)} kept real"
        lines = [f"{title} conversion ({planes}; {self.order}): {counts}", f"  {share}"]
        for conv in self.converted:
            shared = "" if conv.activation in (None, conv.name) else f", activation endpoints of {conv.activation}"
            signed = ", levels on both sides of 0" if conv.signed else ""
            rewritten = f"; {conv.rewritten}" if conv.rewritten else ""
            reads = f"{_READS[conv.reads]}{signed}{rewritten}"
            lines.append(f"  converted  {conv.name:<{width}}  {conv.shape}{shared}; {reads}")
        lines += [f"  kept       {layer.name:<{width}}  {layer.code}: {layer.reason}" for layer in self.kept]
        for name, method in self.branches:
            lines.append(f"  branches   {name}: layers side by side, for training; convert after {name}.{method}()")
        return "\n".join(lines)

    def share(self, input_shape: tuple[int, ...] | None = None) -> Share:
        """Which part of parameters and MACs is converted, and what the file will weigh.

        Args:
            input_shape: (C, H, W) without the batch; None is what the model carries or `convert` was given, and without
                either MACs are left out. The model runs once on zeros.

        Returns:
            The share.
        """
        if input_shape is None:
            known = getattr(self.model, "paconv_input_shape", None)
            if isinstance(known, tuple) and known and isinstance(known[0], int):
                input_shape = known
            else:
                input_shape = getattr(self.model, "paconv_conversion", {}).get("input_shape")
        levels = scheme_class(self.scheme).record.weight_levels(self.M)
        return share_of(self.model, [conv.name for conv in self.converted], levels, input_shape)

    def as_data(self) -> dict:
        """All of it but the model as plain data."""
        return {
            "share": self.share().as_data(),
            **{name: getattr(self, name) for name in ("scheme", "M", "N", "order")},
            "converted": [vars(conv) for conv in self.converted],
            "kept": [vars(layer) for layer in self.kept],
            "branches": [list(branch) for branch in self.branches],
        }


Kind = TypeVar("Kind", bound=Conversion)


def conversion_of(model: nn.Module, kind: type[Kind]) -> Kind:
    """The outcome of the conversion by which `convert` made `model`. Raises UsageError for another model."""
    model = unwrapped(model)
    config: dict[str, Any] | None = getattr(model, "paconv_conversion", None)
    if config is None:
        raise UsageError("this model was not made by paconv.convert, so there is no conversion to report")
    reads, signed = config.get("reads", {}), config.get("signed_activations", ())
    return kind(
        scheme=config.get("scheme", "pa"),
        M=config["M"],
        N=config["N"],
        order=_ORDERS[config["order"]],
        converted=tuple(
            ConvertedConv(
                name,
                _shape(model.get_submodule(name)),
                owner,
                _known(reads, name),
                owner in signed,
                _rewritten(config.get("rewritten", {}).get(name), config.get("computed", {}).get(name)),
            )
            for name, owner in config["plan"].items()
        ),
        kept=tuple(KeptLayer(**layer) for layer in config["kept"]),
        branches=_branches(model),
        model=model,
    )


def _branches(model: nn.Module) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        method = next((method for method in _FUSING if callable(getattr(module, method, None))), None)
        layers = sum(isinstance(layer, LAYERS) for layer in module.modules())
        if name and not inside and method is not None and layers > 1:
            found[name] = method
    return tuple(found.items())


def _rewritten(how: dict | None, computed: str | None) -> str:
    """In words, how convert rewrote a layer."""
    constant = "" if computed is None else f"its weight, computed by {computed}, is a plain one now"
    if how is None:
        return constant
    text = f"{constant}; was {how['class']}" if constant else f"was {how['class']}"
    if how["new_weights"]:
        text += ", its weights as they were"
    if how["pads"] is not None:
        text += ", {} zeros left, {} right, {} above, {} below".format(*how["pads"])
    if how["sizes"] is not None:
        text += f", for inputs of {' and '.join('x'.join(map(str, size)) for size in how['sizes'])}"
    return text


def _known(reads: dict[str, str], name: str) -> str:
    """What the convolution reads. Raises KeyError for what nothing can read."""
    found = reads.get(name, UNKNOWN)
    _READS[found]
    return found


def _shape(conv) -> str:
    text = f"{conv.in_channels}->{conv.out_channels}, {'x'.join(map(str, conv.kernel_size))}"
    if set(conv.stride) != {1}:
        text += f", stride {'x'.join(map(str, dict.fromkeys(conv.stride)))}"
    return text + (f", {conv.groups} groups" if conv.groups > 1 else "")
