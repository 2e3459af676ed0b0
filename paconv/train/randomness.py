"""Random numbers: seeding Python's, numpy's and torch's, and taking up where an interrupted training left them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["deterministic", "random_state", "seed_everything", "set_random_state"]


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seed Python's, numpy's and torch's random numbers; another rank, other numbers."""
    words = np.random.SeedSequence([seed, rank]).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]))


def random_state() -> dict:
    """Where the random numbers are, as values that torch.load reads without running code."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    words = torch.from_numpy(np.asarray(keys).astype(np.int64))
    return {
        "python": random.getstate(),
        "numpy": (str(name), words, int(position), int(has_gauss), float(gauss)),
        "torch": torch.get_rng_state(),
    }


def set_random_state(state: dict) -> None:
    """The inverse of `random_state`."""
    name, keys, *rest = state["numpy"]
    random.setstate(state["python"])
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Within it torch uses only algorithms that give the same bits each time.

    Only on the CPU: the sums over pieces have no such algorithm on CUDA.
    """
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(before or device.type == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
