"""From a file to a network: ONNX in any form, or a checkpoint by way of an export in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from paconv.cost.extract import network
from paconv.cost.layers import Network
from paconv.model_io import load_model

__all__ = ["network_of_file"]


def network_of_file(
    path: str | os.PathLike, input_shapes: Mapping[str, Sequence[int]] | None = None
) -> Network:
    """Layers of the model in `path`. input_shapes: sizes of free dimensions, see paconv.cost.extract.network.

    Raises ModelError if the file is no usable model, UsageError naming a dimension that stays free.
    """
    return network(load_model(Path(path)), input_shapes)
