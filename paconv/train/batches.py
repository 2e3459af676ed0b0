"""Which samples make which batch, and loading them.

The order of an epoch is a permutation drawn from the seed and the epoch. Batch b of B samples are places b B .. b B + B
of it, whatever the number of processes: process k of K takes the k-th of K equal shares. What doesn't fill a batch is
left for another epoch's permutation.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from paconv.errors import PaconvError, UsageError
from paconv.train.data.samples import Batch, Key, Samples
from paconv.train.distributed import Ranks

__all__ = ["evaluation_batches", "first_keys", "steps_an_epoch", "training_batches"]


def steps_an_epoch(samples: Samples, batch_size: int, ranks: Ranks) -> int:
    """Whole batches in an epoch. Raises UsageError where there is none, or a batch can't be shared out equally."""
    if batch_size % ranks.count:
        raise UsageError(f"batch_size={batch_size} can't be shared equally by {ranks.count} processes; give a multiple")
    if len(samples) < batch_size:
        raise UsageError(f"batch_size={batch_size}, but there are only {len(samples)} samples; give a smaller one")
    return len(samples) // batch_size


def training_batches(
    samples: Samples, batch_size: int, *, seed: int, epoch: int, first_step: int, ranks: Ranks, workers: int
) -> Iterator[Batch]:
    """This process's shares of the batches of `epoch` from `first_step` on."""
    order = _order(samples, seed, epoch)
    share = batch_size // ranks.count
    starts = range(first_step * batch_size, len(order) - batch_size + 1, batch_size)
    shares = [order[start + ranks.rank * share :][:share] for start in starts]
    return _loaded(samples, [[(epoch, int(index)) for index in indexes] for indexes in shares], workers)


def evaluation_batches(samples: Samples, batch_size: int, ranks: Ranks, workers: int) -> Iterator[Batch]:
    """This process's share of all samples, every K-th of them, in batches of at most batch_size."""
    mine = [(0, index) for index in range(ranks.rank, len(samples), ranks.count)]
    return _loaded(samples, [mine[i : i + batch_size] for i in range(0, len(mine), batch_size)], workers)


def first_keys(samples: Samples, seed: int, count: int) -> list[Key]:
    """The first `count` samples of the first epoch, or all if there are fewer."""
    return [(0, int(index)) for index in _order(samples, seed, 0)[:count]]


def _order(samples: Samples, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(len(samples))


def _loaded(samples: Samples, batches: list[list[Key]], workers: int) -> Iterator[Batch]:
    loader = DataLoader(
        _Batches(samples, batches),
        batch_size=None,
        num_workers=workers,
        collate_fn=_unchanged,
        generator=torch.Generator(),  # otherwise it draws from torch's own random numbers, each time it starts
    )
    for loaded in loader:
        if isinstance(loaded, PaconvError):
            raise loaded
        yield loaded


def _unchanged(item: object) -> object:
    return item


class _Batches(Dataset):
    """Item i is batch i, or the error that came instead: raised in a worker, it would hold the worker's traceback."""

    def __init__(self, samples: Samples, batches: list[list[Key]]):
        self.samples, self.batches = samples, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch | PaconvError:
        try:
            return self.samples.batch(self.batches[index])
        except PaconvError as error:
            return type(error)(*error.args)  # without its cause, which need not be picklable
