"""Real-valued parameters that the optimizer folds away, kept on record.

The paper counts 2 parameters a channel for a batch norm and none for v, scale and bias of a binary
convolution. `paconv optimize` folds batch norms into exactly those tensors, from which they can't be told
again without guessing (one that was the identity, two in a row, a bias before one). So the optimizer notes
the bias parameters and batch norms of the model it started from in the optimized model's metadata:

    metadata_props["paconv.parameters"] = {"bias": {layer: parameters}, "batch_norm": {layer: channels}}

and the count of an optimized model takes its weights from the graph and these from the note. Without a note
(a file made by other means) they are inferred from the graph, and the figures say so; see
paconv.network.extract.
"""

from __future__ import annotations

import json

import onnx

from paconv.errors import ModelError
from paconv.network.layers import BATCH_NORM, Network
from paconv.onnx_file.metadata import note, noted

__all__ = ["KEY", "read_note", "write_note"]

KEY = "paconv.parameters"


def write_note(model: onnx.ModelProto, original: Network) -> None:
    """Note in `model`'s metadata the bias parameters and batch norms of the network it was made from.

    original: paconv.network.extract.parameters(model before optimizing).
    """
    kept = {
        "bias": {layer.name: layer.bias for layer in original if layer.bias},
        "batch_norm": {
            layer.name: layer.weight_shape[0]
            for layer in original
            if layer.kind == BATCH_NORM and layer.other_parameters
        },
    }
    note(model, {KEY: json.dumps(kept)})


def read_note(model: onnx.ModelProto) -> dict[str, dict[str, int]] | None:
    """The note in `model`'s metadata, None if there is none. Raises ModelError if it is malformed."""
    text = noted(model, KEY)
    if text is None:
        return None
    try:
        found = json.loads(text)
        return {kind: {str(name): int(n) for name, n in found[kind].items()} for kind in ("bias", "batch_norm")}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"metadata {KEY}: expected an object with bias and batch_norm; found {text[:60]!r}; "
            "optimize the model again"
        ) from error
