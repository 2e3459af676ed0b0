"""What pictures must become to be read by a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paconv.errors import DataError, UsageError
from paconv.samples.inputs import Input, shape_text
from paconv.samples.scaling import Scaling

__all__ = ["Frame", "frame"]

_MOST_VALUES = 1 << 28
"""In one picture: 1 GiB of float32. More is a slip of the pen."""


@dataclass(frozen=True)
class Frame:
    """What the only input of a network of pictures takes."""

    name: str
    """The input's name."""
    channels: int
    """1 or 3."""
    height: int
    """In pixels."""
    width: int
    """In pixels."""
    channels_last: bool
    """Whether it reads (S, H, W, C)."""
    dtype: np.dtype
    """Floats, or uint8."""

    @property
    def mode(self) -> str:
        """Pillow's name of the colors."""
        return "L" if self.channels == 1 else "RGB"

    def values(self, pictures: np.ndarray, scaling: Scaling, where: str) -> dict[str, np.ndarray]:
        """Bytes (S, H, W, C) as the network reads them."""
        laid = pictures if self.channels_last else np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))
        if self.dtype.kind == "f":
            scaling.for_bytes(self.name, laid.shape)
        scaling.check_used(where)
        return {self.name: scaling(laid, self.dtype)}


def frame(
    inputs: Sequence[Input], size: int | tuple[int, int] | None, where: str, default: tuple[int, int] | None = None
) -> Frame:
    """What the network takes; `default` (height, width) where neither it nor `size` says.

    Raises DataError if pictures don't fit the network, UsageError if the size isn't known or another one's.
    """
    if len(inputs) > 1:
        names = ", ".join(name for name, _, _ in inputs)
        raise DataError(f"{where}: pictures fill one input, the network has {len(inputs)} ({names}); give an .npz file")
    name, shape, dtype = inputs[0][0], tuple(inputs[0][1]), np.dtype(inputs[0][2])
    if len(shape) != 4 or not (shape[1] in (1, 3) or shape[3] in (1, 3)):
        raise DataError(
            f"{where}: expected a network that reads 1 or 3 channels of a picture, found input {name} of "
            f"{shape_text(shape)}; give an .npz file"
        )
    if dtype.kind != "f" and dtype != np.uint8:
        raise DataError(f"{where}: expected a network that reads floats or bytes, found input {name} of {dtype.name}")
    last = shape[1] not in (1, 3)
    rows, columns = shape[1:3] if last else shape[2:]
    given = (size, size) if isinstance(size, int) else size
    sizes = []
    for axis, (own, asked) in enumerate(zip((rows, columns), given or (None, None), strict=True)):
        if isinstance(own, int) and asked not in (None, own):
            raise UsageError(f"size: input {name} takes pictures of {rows}x{columns} (height x width), found {asked}")
        known = own if isinstance(own, int) else asked or (default[axis] if default else None)
        if known is None or known < 1:
            raise UsageError(f"{where}: input {name} takes pictures of any size; give a size of at least 1 (--size)")
        sizes.append(known)
    channels = shape[3] if last else shape[1]
    assert isinstance(channels, int)
    if channels * sizes[0] * sizes[1] > _MOST_VALUES:
        text = "x".join(map(str, sizes))
        raise UsageError(f"size: expected pictures of at most {_MOST_VALUES} values, found {text} (height x width)")
    return Frame(name, channels, sizes[0], sizes[1], last, dtype)
