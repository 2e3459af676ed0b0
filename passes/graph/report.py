"""The conversion report: one line a convolution, and totals."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field

from paconv.passes.graph.reasons import explain

__all__ = ["ConvLine", "ConversionReport"]


@dataclass(frozen=True)
class ConvLine:
    """One convolution. form: 'bit-conv' (PABitConv), 'weights-only' (Conv with packed weights) or 'real' (untouched).

    reason: a code of paconv.passes.graph.reasons that says why it has this form. folded: what went into it, of
    'relu', 'bn-before', 'affine-before', 'bn-after', 'affine-after', 'residual', 'clip'. kept: codes of why something
    beside it stayed. linked: whether it is fused with its neighbours (PALevelConv instead of PABitConv).
    """

    node: str
    form: str
    reason: str
    folded: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    linked: bool = False

    @property
    def converted(self) -> bool:
        """Whether the convolution's weights are packed."""
        return self.form != "real"


@dataclass
class ConversionReport:
    """What `paconv optimize` did. passes: rewrites by pass; changed: whether the graph differs from the input."""

    convs: list[ConvLine] = field(default_factory=list)
    passes: dict[str, int] = field(default_factory=dict)
    changed: bool = False
    bytes_before: int = 0
    bytes_after: int = 0

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

    def to_json(self) -> str:
        """JSON: `convs` (a ConvLine each, with converted and explanation), `passes`, `changed`, `totals`."""
        convs = [
            {**asdict(line), "converted": line.converted, "explanation": explain(line.reason)} for line in self.convs
        ]
        return json.dumps(
            {"convs": convs, "passes": self.passes, "changed": self.changed, "totals": self.totals}, indent=2
        ) + "\n"
