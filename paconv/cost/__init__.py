"""What a network costs: memory, operations and latency by the paper's accounting (Tables 2, 7 and 8)."""

from __future__ import annotations

from paconv.cost.count import Cost, LayerCost, NetworkCost, count
from paconv.cost.rules import RULES, STORAGES, rule, storage
from paconv.cost.schemes import under_scheme
from paconv.network.extract import network
from paconv.network.layers import Layer, Network, Planes
from paconv.schemes import SCHEMES

__all__ = [
    "RULES",
    "SCHEMES",
    "STORAGES",
    "Cost",
    "Layer",
    "LayerCost",
    "Network",
    "NetworkCost",
    "Planes",
    "count",
    "network",
    "rule",
    "storage",
    "under_scheme",
]
