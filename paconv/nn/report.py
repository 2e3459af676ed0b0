"""What `convert` changed and what it left, with reasons, to print."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import nn

from paconv.errors import UsageError
from paconv.nn.schemes.registry import scheme_class

if TYPE_CHECKING:
    from paconv.cost.host.model import HostModel
    from paconv.cost.host.speed import Speed

__all__ = ["ConversionReport", "ConvertedConv", "KeptLayer", "conversion_report"]


_ORDERS = {
    "traced": "layers traced",
    "recorded": "layers recorded in a forward",
    "defined": "layers as defined, torch.fx can't trace the model; give input_shape to see what they read",
}


@dataclass(frozen=True)
class ConvertedConv:
    """A converted convolution. activation: name of the conv whose activation quantizer it uses, None for none."""

    name: str
    shape: str
    activation: str | None


@dataclass(frozen=True)
class KeptLayer:
    """A layer that stays real, why in a word (`code`) and in a sentence (`reason`)."""

    name: str
    code: str
    reason: str


@dataclass(frozen=True)
class ConversionReport:
    """The outcome of a conversion; `str` gives a line per layer, `predict` the speed. model: what was made."""

    scheme: str
    M: int
    N: int | None
    order: str
    converted: tuple[ConvertedConv, ...]
    kept: tuple[KeptLayer, ...]
    model: nn.Module = field(repr=False, compare=False)

    def predict(self, input_shape: tuple[int, ...] | None = None, host: HostModel | None = None) -> Speed:
        """The model's speed on this machine beside its float parent's, and the layers that are slower, as `str` prints
        them: predicted for one thread and a batch of 1, before anything is trained.

        input_shape: (C, H, W); None is the one that the model carries. host: its rates; None is those that `paconv cost
        --host` kept for this machine, or else shipped ones for its kind of CPU: nothing is measured. Raises UsageError
        for a scheme other than PA, and without an input shape; ExportError for a model that can't be exported;
        PaconvError where there are no rates, for want of the library.
        """
        from paconv.cost.host.at_hand import host_at_hand
        from paconv.cost.host.kernels import planes_of
        from paconv.cost.host.speed import speed_of
        from paconv.cost.source import network_of_module

        if self.scheme != "pa":
            raise UsageError(f"it is for the schemes pa and float; found {self.scheme}")
        network = network_of_module(self.model, input_shape)
        found, rates = host_at_hand(planes_of(network)) if host is None else (host, "")
        return speed_of(found, network, rates)

    def __str__(self) -> str:
        width = max(len(name) for name in (*(c.name for c in self.converted), *(k.name for k in self.kept)))
        planes = f"M={self.M}, N={'full precision' if self.N is None else self.N}"
        title = scheme_class(self.scheme).title
        counts = f"{len(self.converted)} converted, {len(self.kept)} kept real"
        lines = [f"{title} conversion ({planes}; {self.order}): {counts}"]
        for conv in self.converted:
            shared = "" if conv.activation in (None, conv.name) else f", activation endpoints of {conv.activation}"
            lines.append(f"  converted  {conv.name:<{width}}  {conv.shape}{shared}")
        lines += [f"  kept       {layer.name:<{width}}  {layer.code}: {layer.reason}" for layer in self.kept]
        return "\n".join(lines)


def conversion_report(model: nn.Module) -> ConversionReport:
    """The report of a model that `convert` made. Raises UsageError for another model."""
    config = getattr(model, "paconv_conversion", None)
    if config is None:
        raise UsageError("this model was not made by paconv.convert, so there is no conversion to report")
    return ConversionReport(
        scheme=config.get("scheme", "pa"),
        M=config["M"],
        N=config["N"],
        order=_ORDERS[config["order"]],
        converted=tuple(
            ConvertedConv(name, _shape(model.get_submodule(name)), owner) for name, owner in config["plan"].items()
        ),
        kept=tuple(KeptLayer(**layer) for layer in config["kept"]),
        model=model,
    )


def _shape(conv) -> str:
    text = f"{conv.in_channels}->{conv.out_channels}, {'x'.join(map(str, conv.kernel_size))}"
    if set(conv.stride) != {1}:
        text += f", stride {'x'.join(map(str, dict.fromkeys(conv.stride)))}"
    return text + (f", {conv.groups} groups" if conv.groups > 1 else "")
