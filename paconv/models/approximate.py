"""The step every architecture ends with: stay real, or become the counterpart of a quantization scheme.

What `scheme`, `M` and `N` of every builder mean:

    scheme   M       N        result
    None     None    None     the float network
    None     given   given    PA(M, N)
    None     given   None     PA with M, full-precision activations
    given    None    None     the scheme with its own M and N
    given    given   given    the scheme with these M and N
    given    given   None     the scheme with M, full-precision activations

So M and N go together: once M is given, N=None is full precision and not the scheme's own N.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from paconv.errors import UsageError
from paconv.nn.convert import convert
from paconv.nn.schemes.registry import DEFAULT

__all__ = ["approximated"]


def approximated(
    model: nn.Module, M: int | None, N: int | None, scheme: str | None = None, keep: Iterable[str] = ()
) -> nn.Module:
    """`model` as it is, or converted by a scheme: the table above.

    Args:
        model: A float network.
        M: Weight planes, or None.
        N: Activation planes, or None.
        scheme: A scheme's name, or None.
        keep: Layers that stay real, as for `paconv.convert`.

    Returns:
        `model` itself where scheme and M are None, otherwise a converted copy.

    Raises:
        UsageError: There is N without M, or the scheme is unknown or can't have these planes.
    """
    if M is None and N is not None:
        raise UsageError(f"N={N} needs M: activations are approximated only together with weights; give M, 1 to 8")
    if scheme is None and M is None:
        return model
    planes = (DEFAULT, DEFAULT) if M is None else (M, N)
    return convert(model, *planes, scheme="pa" if scheme is None else scheme, keep=keep)
