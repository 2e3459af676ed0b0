"""Training: a float network, then its quantized counterpart, on one machine or several (Algorithm 1).

`train` is what `paconv train` runs; `fit` trains one model on one data source.
"""

from __future__ import annotations

from paconv.train.data import CLASSIFICATION, DETECTION, DataSource, InMemory, Samples, open_source
from paconv.train.fit import fit
from paconv.train.recipe import Recipe, train
from paconv.train.settings import Settings
from paconv.train.watching import Progress, Watcher

__all__ = [
    "CLASSIFICATION",
    "DETECTION",
    "DataSource",
    "InMemory",
    "Progress",
    "Recipe",
    "Samples",
    "Settings",
    "Watcher",
    "fit",
    "open_source",
    "train",
]
