"""Several sources as one, such as VOC2007 and VOC2012: their samples one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from paconv.errors import UsageError
from paconv.train.data.samples import Batch, DataSource, Key, Samples

__all__ = ["Mixed", "mixed"]


def mixed(sources: Sequence[DataSource]) -> DataSource:
    """One source of all; held out is what any of them holds out.

    Raises UsageError unless they are for the same task, with the same classes and images of one shape.
    """
    first = sources[0]
    for other in sources[1:]:
        for what in ("task", "classes", "input_shape"):
            if (a := getattr(first, what)) != (b := getattr(other, what)):
                raise UsageError(f"{first.name} and {other.name} can't be mixed: {what} is {a} and {b}")
    if len(sources) == 1:
        return first
    held_out = [each.held_out for each in sources if each.held_out is not None]
    return DataSource(
        " + ".join(each.name for each in sources),
        first.task,
        Mixed([each.training for each in sources]),
        Mixed(held_out) if held_out else None,
        first.classes,
        first.input_shape,
    )


class Mixed(Samples):
    """The samples of `parts`, one part after the other."""

    def __init__(self, parts: Sequence[Samples]):
        self.parts = list(parts)
        self.ends = list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self.ends[-1]

    def plain(self) -> Mixed:
        """Of each part."""
        return Mixed([part.plain() for part in self.parts])

    def batch(self, keys: Sequence[Key]) -> Batch:
        """As the parts give them."""
        found = []
        for epoch, index in keys:
            place = bisect_right(self.ends, index)
            before = self.ends[place - 1] if place else 0
            found.append(self.parts[place].batch([(epoch, index - before)]))
        inputs, targets = zip(*found, strict=True)
        if isinstance(targets[0], Tensor):
            return torch.cat(inputs), torch.cat(targets)
        return torch.cat(inputs), [target for each in targets for target in each]
