"""`paconv.verify`: is the optimized model the same function as its reference?

A fused model is compared in its canonical form, PABitConv by PABitConv; then the fused graph with that form.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import onnx

from paconv.errors import UsageError, VerifyError
from paconv.onnx_file.loading import load_model
from paconv.ops import DOMAIN, LIBRARY_OPS, PA_WEIGHT
from paconv.passes.fuse.unfuse import canonical, unfuse
from paconv.reporting.notebook import as_html
from paconv.reporting.tables import Column, Table, grouped
from paconv.verification.check_layer import check_layer
from paconv.verification.end_to_end import EndToEnd, compare_end_to_end
from paconv.verification.fused import FusedResult, check_fused
from paconv.verification.glue import check_glue
from paconv.verification.inputs import make_inputs, read_inputs
from paconv.verification.layers import LayerResult, layers_of
from paconv.verification.model import OpenModel, run_model
from paconv.verification.real_convs import folded_convs
from paconv.verification.served import as_served

__all__ = ["VerifyResult", "verify"]


@dataclass(frozen=True)
class VerifyResult:
    """How an optimized model compares with its reference."""

    layers: list[LayerResult]
    """One result per PABitConv."""
    glue: str | None
    """What differs in the graph between them, or None."""
    fused: FusedResult | None
    """The tensors between fused nodes; None if the model has none, or if a layer differs already and the optimized
    model doesn't run.
    """
    end_to_end: EndToEnd | None
    """Both models as served; None if a layer differs already and the optimized model doesn't run."""

    @property
    def ok(self) -> bool:
        return self.first_difference is None

    @property
    def first_difference(self) -> str | None:
        """The first thing that differs, by name; None if the models agree."""
        for layer in self.layers:
            if not layer.ok:
                return f"layer '{layer.name}': {layer.difference}"
        return self.glue or (self.fused.difference if self.fused else None)

    def __repr__(self) -> str:
        verdict = f"verified: {len(self.layers)} layers" if self.ok else f"differs: {self.first_difference}"
        return f"VerifyResult({verdict})"

    def _repr_html_(self) -> str:
        columns = [Column("name", "layer", left=True), Column("M", "M"), Column("N", "N")]
        columns += [Column(key, key, read=grouped) for key in ("decisions", "flips")]
        columns.append(Column("verdict", "verdict", left=True))
        rows = [vars(layer) | {"verdict": layer.difference or "equal"} for layer in self.layers]
        return as_html(Table(repr(self), columns, rows, notes=self.notes()))

    def notes(self) -> list[str]:
        """What there is to say beside the layers: the graph between them, and end to end."""
        between = f"graph between the layers: {self.glue or 'equal, bit for bit'}"
        ends = [
            f"{o.name}: largest difference {o.largest:.3g} of {o.scale:.3g}"
            for o in (self.end_to_end.outputs if self.end_to_end else ())
        ]
        return [between, *ends]

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        e = self.end_to_end
        return {
            "ok": self.ok,
            "first_difference": self.first_difference,
            "layers": [vars(layer) | {"ok": layer.ok} for layer in self.layers],
            "fused": self.fused and vars(self.fused) | {"ok": self.fused.ok},
            "end_to_end": e and asdict(e),
        }


def verify(
    reference: str | os.PathLike | onnx.ModelProto,
    optimized: str | os.PathLike | onnx.ModelProto,
    inputs: str | os.PathLike | dict[str, np.ndarray] | None = None,
    *,
    batch: int = 2,
    seed: int = 0,
    input_shape: Mapping[str, Sequence[int]] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> VerifyResult:
    """Compare an optimized model with the model it was made from.

    Args:
        reference: The exported model: an ONNX file or ModelProto.
        optimized: The model that `paconv.optimize` made of it, canonical or fused.
        inputs: Arrays by input name, or an .npz file of them; None for `batch` standard normal samples from `seed`.
        batch: Number of random samples, where `inputs` is None.
        seed: Of the random samples.
        input_shape: Sizes of free dimensions of the random samples, by input or by name; "" for the only input.
        progress: Called with (layer name, layers done, layers in all).

    Returns:
        The comparison, layer by layer and end to end; `ok` if the models agree.

    Raises:
        ModelError: A file can't be read.
        UsageError: The inputs don't fit the model, or the models are given the other way round.
        VerifyError: The models aren't comparable at all: they have different inputs or outputs, or a PABitConv has no
            counterpart.
    """
    (first_model, first_label), (served, label) = (_read(model) for model in (reference, optimized))
    _check_order(first_model, first_label, served, label)
    unfused = unfuse(served, label)
    first, second = OpenModel(canonical(first_model, first_label), first_label), OpenModel(unfused.model, label)
    _check_interface(first, second)
    given = inputs if inputs is None or isinstance(inputs, dict) else read_inputs(inputs)
    feeds = make_inputs(first, given, batch, seed, input_shape)
    layers = layers_of(first, second)
    convs = folded_convs(first, second)
    tensors = [name for layer in layers for name in layer.tensors] + [name for c in convs for name in (c.X, c.Y)]
    values = run_model(first.model, feeds, [*tensors, *first.outputs], label=first.label, plain=True)
    lost = [name for name in tensors if name not in values]
    if lost:
        raise VerifyError(f"{second.label}: its tensor '{lost[0]}' does not exist in {first.label}")
    results = []
    for done, layer in enumerate(layers):
        if progress:
            progress(layer.name, done, len(layers))
        results.append(check_layer(layer, first, values))
    if progress:
        progress("end to end", len(layers), len(layers))
    try:
        glue = check_glue(first, second, layers, convs, feeds, values)
        fused = check_fused(served, unfused, feeds, label) if unfused.model is not served else None
        end_to_end = compare_end_to_end(first, OpenModel(as_served(unfused), label), served, layers, feeds)
        return VerifyResult(results, glue, fused, end_to_end)
    except VerifyError:
        if all(result.ok for result in results):
            raise
        return VerifyResult(results, None, None, None)


def _read(model: str | os.PathLike | onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """The model, and what messages call it."""
    if isinstance(model, onnx.ModelProto):
        return model, model.graph.name or "model"
    return load_model(model), str(model)


_PACKED = {op.name for op in LIBRARY_OPS} | {"PAUnpackWeight"}


def _check_order(reference: onnx.ModelProto, label: str, optimized: onnx.ModelProto, optimized_label: str) -> None:
    """Raise UsageError where the optimized model comes first."""
    first, second = (
        any(node.domain == DOMAIN and node.op_type in _PACKED for node in model.graph.node)
        for model in (reference, optimized)
    )
    if first and not second:
        raise UsageError(
            f"{label} is optimized and {optimized_label} isn't: give the reference first, then the optimized model"
        )
    if not second and any((n.domain, n.op_type) == (DOMAIN, PA_WEIGHT.name) for n in optimized.graph.node):
        raise UsageError(
            f"{optimized_label} isn't optimized: none of its convolutions is packed; `paconv optimize` makes what can "
            "be compared"
        )


def _check_interface(reference: OpenModel, optimized: OpenModel) -> None:
    for what, a, b in (
        ("inputs", [i.name for i in reference.inputs], [i.name for i in optimized.inputs]),
        ("outputs", reference.outputs, optimized.outputs),
    ):
        if a != b:
            raise VerifyError(f"{optimized.label}: expected the {what} of {reference.label}, {a}; found {b}")
