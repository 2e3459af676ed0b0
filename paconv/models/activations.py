"""The activation function in front of a convolution, in whose place the quantizer of its input comes.

    relu   max(x, 0)
    clip   min(max(x, -1), 1)

Most schemes have levels of positive values, which follow a ReLU. A scheme whose activations are +1 and -1 needs the
clip, with which Liu et al. (2018) train the float network: sign(clip(x)) = sign(x), but sign(relu(x)) tells negative
values only by their exact zeros, and nothing of their gradient passes.
"""

from __future__ import annotations

from torch import nn

from paconv.errors import UsageError
from paconv.nn.schemes.registry import scheme_class

__all__ = ["activation_class", "activation_for"]

_CLASSES: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "clip": nn.Hardtanh}


def activation_for(scheme: str | None) -> str:
    """Name of the activation function that `scheme` needs; a ReLU's for None, the float network.

    Raises UsageError for an unknown scheme.
    """
    signs = scheme is not None and scheme_class(scheme).rectified_apart  # all that a ReLU in front would change
    return "clip" if signs else "relu"


def activation_class(activation: str | None, scheme: str | None = None) -> type[nn.Module]:
    """The module for "relu" or "clip"; None is what `scheme` needs, a ReLU where that is None too (float, or PA).

    Raises UsageError for another activation or an unknown scheme.
    """
    if activation is None:
        activation = activation_for(scheme)
    if activation not in _CLASSES:
        raise UsageError(f"activation must be 'relu' or 'clip'; found {activation!r}")
    return _CLASSES[activation]
