"""A validation set out of the training samples, on which choices are made, so that what is held out decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from paconv.errors import UsageError
from paconv.train.data.samples import Batch, DataSource, Key, Samples

__all__ = ["Part", "split_for_validation"]


class Part(Samples):
    """The samples of `whole` at `places`, in this order.

    A sample keeps its augmentation, which is drawn by its place in `whole`.
    """

    def __init__(self, whole: Samples, places: Sequence[int]):
        self.whole, self.places = whole, list(places)

    def __len__(self) -> int:
        return len(self.places)

    def batch(self, keys: Sequence[Key]) -> Batch:
        """As `whole` gives them."""
        return self.whole.batch([(epoch, self.places[index]) for epoch, index in keys])

    def plain(self) -> Part:
        """Of `whole`."""
        return Part(self.whole.plain(), self.places)


def split_for_validation(source: DataSource, share: float, seed: int = 0) -> tuple[DataSource, DataSource]:
    """(source for choices, source for the result): both train on the same samples.

    The first holds out a random `share` of the training samples, without augmentation; the second what `source` holds
    out.

    Raises UsageError unless 0 < share < 1 leaves samples on both sides.
    """
    count = len(source.training)
    taken = round(share * count)
    if not 0 < share < 1 or not 0 < taken < count:
        raise UsageError(f"validation: expected a share between 0 and 1 of {count} samples; found {share:g}")
    order = np.random.default_rng([seed, count]).permutation(count)
    kept, validation = sorted(order[taken:].tolist()), sorted(order[:taken].tolist())
    training = Part(source.training, kept)
    chosen_by = replace(source, training=training, held_out=Part(source.training.plain(), validation))
    return chosen_by, replace(source, training=training)
