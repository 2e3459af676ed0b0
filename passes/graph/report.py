"""The conversion report: one line per convolution, and totals.

It is made of what passes declare (paconv.passes.graph.graph_pass) and of what their runs did, and knows no pass.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import onnx_graphsurgeon as gs

from paconv.passes.graph.graph_pass import Pass, PassResult, Rewrite, Skip
from paconv.passes.graph.matching import is_op, is_paconv_op, producer
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.graph.reasons import explain
from paconv.reporting.notebook import as_html
from paconv.reporting.tables import Column, Table

__all__ = ["Account", "ConvLine", "ConversionReport"]


@dataclass(frozen=True)
class ConvLine:
    """What became of one convolution."""

    node: str
    """Its label."""
    form: str
    """'bit-conv' (PABitConv), 'weights-only' (Conv with packed weights) or 'real' (untouched)."""
    reason: str
    """Why it has this form: a code of paconv.passes.graph.reasons."""
    folded: tuple[str, ...] = ()
    """What went into it, in the words of the passes (`absorbs`): 'relu', 'bn-before', 'residual' and the like."""
    kept: tuple[str, ...] = ()
    """Why something beside it stayed: codes of paconv.passes.graph.reasons."""
    linked: bool = False
    """Whether it is fused with its neighbours (PALevelConv instead of PABitConv)."""

    @property
    def converted(self) -> bool:
        """Whether the convolution's weights are packed."""
        return self.form != "real"


@dataclass
class ConversionReport:
    """What `paconv optimize` did."""

    convs: list[ConvLine] = field(default_factory=list)
    """One per convolution."""
    passes: dict[str, int] = field(default_factory=dict)
    """Pass -> number of rewrites."""
    changed: bool = False
    """Whether the graph differs from the input."""
    bytes_before: int = 0
    """Size of the model that was read."""
    bytes_after: int = 0
    """Size of the optimized one."""

    @property
    def totals(self) -> dict[str, int]:
        """Convolutions by form, and sizes of the serialized models in bytes."""
        forms = Counter(line.form for line in self.convs)
        return {
            "convs": len(self.convs),
            "bit_convs": forms["bit-conv"],
            "linked": sum(line.linked for line in self.convs),
            "weights_only": forms["weights-only"],
            "real": forms["real"],
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
        }

    def summary(self) -> str:
        """One sentence: what became of the convolutions."""
        totals = self.totals
        linked = f" ({totals['linked']} linked)" if totals["linked"] else ""
        forms = f"{totals['bit_convs']} PABitConv{linked}, {totals['weights_only']} weights-only, {totals['real']} real"
        if not self.changed and totals["convs"] > totals["real"]:
            return f"already optimized: {forms}; nothing to do"
        return f"{totals['convs']} convolutions: {forms}"

    def __repr__(self) -> str:
        return f"ConversionReport({self.summary()})"

    def _repr_html_(self) -> str:
        columns = [Column(key, key, left=True) for key in ("convolution", "form", "linked", "why", "folded")]
        rows = [
            {
                "convolution": line.node,
                "form": line.form,
                "linked": "yes" if line.linked else "no",
                "why": "" if line.reason == "converted" else explain(line.reason),
                "folded": ", ".join(line.folded),
            }
            for line in self.convs
        ]
        return as_html(Table(self.summary(), columns, rows, notes=[self._bytes()]))

    def _bytes(self) -> str:
        return f"{self.bytes_before:,} -> {self.bytes_after:,} bytes"

    def to_json(self) -> str:
        """JSON: `convs` (a ConvLine each, with converted and explanation), `passes`, `changed`, `totals`."""
        convs = [
            {**asdict(line), "converted": line.converted, "explanation": explain(line.reason)} for line in self.convs
        ]
        return (
            json.dumps(
                {"convs": convs, "passes": self.passes, "changed": self.changed, "totals": self.totals}, indent=2
            )
            + "\n"
        )


class Account:
    """What a sequence of runs did to the convolutions of a graph."""

    def __init__(self, graph: ModelGraph):
        """Takes down the convolutions that `graph` has before the first run, and their forms."""
        self._graph = graph
        self._before = [(node, _form(node)) for node in graph.nodes if _is_conv(node)]
        self._rewrites: list[tuple[Pass, Rewrite]] = []
        self._skips: dict[Pass, list[Skip]] = {}

    def add(self, done: Pass, result: PassResult) -> None:
        """Take down one run, in order. What a pass refused counts as of its last run."""
        self._rewrites += [(done, rewrite) for rewrite in result.rewritten]
        self._skips[done] = result.skipped

    @property
    def passes(self) -> dict[str, int]:
        """Number of rewrites by pass, in the order of their first runs."""
        counts = Counter(done.name for done, _ in self._rewrites)
        return {done.name: counts[done.name] for done in self._skips}

    def lines(self) -> list[ConvLine]:
        """One for each convolution, of the graph as it is now."""
        return [self._line(node, before) for node, before in self._before]

    def _line(self, node: gs.Node, before: str) -> ConvLine:
        label, form = self._graph.label(node), _form(node)
        if before != "real":
            reason = "already-converted"
        elif form == "bit-conv":
            reason = "converted"
        else:
            reason = self._refusals(label, (done for done in self._skips if done.decides))[-1]
        folded = tuple(r.what for done, r in self._rewrites if r.node == label and r.what in done.absorbs)
        kept = tuple(dict.fromkeys(self._refusals(label, (done for done in self._skips if done.absorbs))))
        return ConvLine(label, form, reason, folded, kept, linked=is_paconv_op(node, "PALevelConv"))

    def _refusals(self, label: str, by: Iterable[Pass]) -> list[str]:
        return [skip.reason for done in by for skip in self._skips[done] if skip.node == label]


def _is_conv(node: gs.Node) -> bool:
    return is_op(node, "Conv") or _is_packed(node) or is_paconv_op(node, "PADepthwiseConv")


def _is_packed(node: gs.Node) -> bool:
    return is_paconv_op(node, "PABitConv") or is_paconv_op(node, "PALevelConv")


def _form(node: gs.Node) -> str:
    if _is_packed(node):
        return "bit-conv"
    weights = producer(node.inputs[1]) if is_op(node, "Conv") else None
    return "weights-only" if is_paconv_op(weights, "PAUnpackWeight") else "real"
