"""What the numbers in a node of domain paconv may be; the C shim makes the same checks when a node is created.

factors     alpha, beta, scale, bias, and the weights of PADepthwiseConv: finite
results     A = sum_i |alpha_i|, B = sum_j |beta_j|, S = A B C/g*KH*KW and |scale| S + |bias|, which bound every
            weight, activation, sum and result of an output channel: within float32
clip        [low, high], neither NaN; low = -inf and high = +inf are no bounds, low = +inf and high = -inf nonsense
endpoints   any number, infinite ones too (a batch norm of scale 0 makes them): ascending, NaN last
"""

from __future__ import annotations

import numpy as np

from paconv.errors import OpError

__all__ = ["check_clip", "check_endpoints", "check_finite", "check_results"]


def check_finite(where: str, **arrays: np.ndarray) -> None:
    """Raises OpError naming `where` and the array for a NaN or an infinity."""
    for name, array in arrays.items():
        wrong = array[~np.isfinite(array)]
        if wrong.size:
            raise OpError(f"{where}: expected finite numbers in {name}; found {wrong[0]}")


def check_results(
    where: str, alpha: np.ndarray, beta: np.ndarray, scale: np.ndarray, bias: np.ndarray, window: int
) -> None:
    """alpha (1|O, M+1), beta (N+1,), scale and bias (O,), all finite; window: C/g*KH*KW. OpError beyond float32."""
    alpha, beta, scale, bias = (np.abs(a.astype(np.float64)) for a in (alpha, beta, scale, bias))
    A, B = np.broadcast_to(alpha.sum(1), scale.shape), beta.sum()
    S = A * B * window
    most = np.max([A, np.broadcast_to(B, A.shape), S, scale * S + bias], axis=0)
    if most.max(initial=0) > np.finfo(np.float32).max:
        raise OpError(
            f"{where}: expected alpha, beta, scale and bias whose results are within float32; "
            f"found up to {most.max():.6g} in output channel {most.argmax()}"
        )


def check_clip(where: str, clip: np.ndarray) -> None:
    """clip (2,) float32. Raises OpError."""
    low, high = clip
    if not (low < np.inf and high > -np.inf):  # NaN too
        raise OpError(f"{where}: expected clip [low, high], low below inf and high above -inf; found {clip.tolist()}")


def check_endpoints(where: str, name: str, v: np.ndarray) -> None:
    """v (rows, E) float32. Raises OpError."""
    if not ((v[:, 1:] >= v[:, :-1]) | np.isnan(v[:, 1:])).all():
        raise OpError(f"{where}: expected {name} ascending in each row, NaN last; found endpoints out of order")
