"""`paconv.nn.conversion_report`: what `convert` changed and what it left, and how fast the result will be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from paconv.errors import UsageError
from paconv.nn.report import Conversion, conversion_of

if TYPE_CHECKING:
    from paconv.cost.host.model import HostModel
    from paconv.cost.host.speed import Speed

__all__ = ["ConversionReport", "conversion_report"]


@dataclass(frozen=True, repr=False)
class ConversionReport(Conversion):
    """The outcome of a conversion; `str` gives a line per layer, `predict` the speed. model: what was made."""

    def predict(self, input_shape: tuple[int, ...] | None = None, host: HostModel | None = None) -> Speed:
        """The model's speed on this machine beside its float parent's, and the layers that are slower, as `str` prints
        them.

        Predicted for one thread and a batch of 1, before anything is trained.

        Args:
            input_shape: (C, H, W) without the batch; None is the one that the model carries.
            host: The machine's rates; None is those that `paconv cost --host` kept for this machine, or else shipped
                ones for its kind of CPU: nothing is measured.

        Returns:
            Predicted seconds per call, quantized and in float.

        Raises:
            UsageError: The scheme is not PA, or there is no input shape.
            ExportError: The model can't be exported.
            PaconvError: There are no rates, for want of the library.
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


def conversion_report(model: nn.Module) -> ConversionReport:
    """The report of a model that `convert` made.

    Raises:
        UsageError: `convert` didn't make the model.
    """
    return conversion_of(model, ConversionReport)
