"""What a record says of a scheme."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SchemeRecord", "spelled"]


def spelled(scheme: str, M: int, N: int | None, *, digits: bool = False) -> str:
    """A scheme and its planes as commands take and print them: pa:4,5, pa:4,full, pa:5,7,digits."""
    return f"{scheme}:{M},{'full' if N is None else N}{',digits' if digits else ''}"


@dataclass(frozen=True)
class SchemeRecord:
    """A published scheme, and the planes that it can have."""

    name: str
    """As `paconv.convert(model, scheme=name)` and `paconv cost --scheme` take it."""

    title: str
    """In print."""

    meaning: str
    """In a few words, with what M and N count."""

    source: str
    """Where it was published."""

    M: tuple[int, ...] = ()
    """Weight planes that it can have, ascending; none for the float network."""

    N: tuple[int | None, ...] = ()
    """Activation planes that it can have, ascending, None (full precision) last."""

    default: tuple[int, int | None] = (1, 1)
    """M and N where none are given."""

    independent: bool = False
    """Whether M planes have 2^M weight levels, instead of M + 1."""

    digits: bool = False
    """Whether N planes take 2^N - 1 endpoints, instead of N."""

    gate: str = "XNOR"
    """What multiplies two bits: "AND" for planes of 0 and 1, "XNOR" for those of -1 and +1."""

    real_shortcuts: bool = False
    """Whether 1x1 convolutions on the shortcut of a residual block stay real."""

    multiplications_per_output: int | None = None
    """Of a binary convolution; None where the accounting rule decides."""

    @property
    def binary(self) -> bool:
        """Whether it binarizes anything."""
        return bool(self.M)

    @property
    def fixed(self) -> tuple[int, int | None] | None:
        """The only (M, N) that it has, None where there are several."""
        return self.default if len(self.M) == len(self.N) == 1 else None

    @property
    def full_activations(self) -> bool:
        """Whether activations may stay in full precision."""
        return None in self.N

    @property
    def most_N(self) -> int:
        """The most activation planes; 0 where activations are in full precision always."""
        return max((n for n in self.N if n is not None), default=0)

    def weight_levels(self, M: int) -> int:
        """Distinct values of a weight with M planes."""
        return 2**M if self.independent else M + 1

    def endpoints(self, N: int | None) -> int:
        """Comparisons that find the level of an activation with N planes."""
        if N is None:
            return 0
        return 2**N - 1 if self.digits else N
