"""The accounting rules, as data: what a bit costs, and how many elementwise operations a convolution has.

    bits  = 32 R + s B          R: real-valued parameters, B: binary weights, s: stored bits per weight (Storage)
    Flops = real MACs + bases * MAC_bin / 64 + multiplications + comparisons      bases = M N

An AND (or XNOR) with its popcount is ONE bit operation per MAC and base; 64 of them are one word operation. The sum
over the elementwise part is (Rule)

    multiplications = m(M, N) * outputs of binary convolutions + first * outputs of the first convolution
    comparisons     = c * elements of binarized inputs, shared inputs once

"text" is what the paper's text says (sec. 4.6.1): m = M N, c = N (the endpoints). "table7" fits the Flops that its
Table 7 prints: m = 15, c = 0, first = 1, found by enumeration and only known to fit at M = 4, N = 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from paconv.bits import code_bits
from paconv.errors import UsageError
from paconv.network.layers import Planes

__all__ = ["RULES", "STORAGES", "WORD_OPERATIONS", "Rule", "Storage", "rule", "storage"]

WORD_OPERATIONS = 64
"""Bit operations in one word operation, as the paper counts CPUs. Notional: see a host's own rates for the
truth.
"""


@dataclass(frozen=True)
class Rule:
    """Elementwise operations of binary layers, for the schemes that don't fix them (PA, ABC)."""

    name: str
    """As the command line takes it."""
    meaning: str
    """In words."""
    provenance: str
    """Where its figures come from."""
    multiplications_per_output: Callable[[Planes], Fraction]
    """Planes -> operations."""
    comparisons_per_activation: Callable[[Planes], Fraction]
    """Planes -> operations."""
    first_convolution: int = 0
    """Operations per output of the first convolution."""
    only: tuple[int, int] | None = None
    """The only (M, N) that the rule is known for; None for any."""
    given_multiplications: Fraction | None = None
    """Replaces multiplications_per_output for every scheme; None if not given."""
    given_comparisons: Fraction | None = None
    """Replaces comparisons_per_activation for every scheme; None if not given."""


RULES = {
    "text": Rule(
        "text",
        "M*N multiplications per output, N comparisons per binarized activation, as the paper's text has it",
        "counted, by the rule of the paper's text",
        multiplications_per_output=lambda p: Fraction(p.M * (p.N or 0)),
        comparisons_per_activation=lambda p: Fraction(p.endpoints),
    ),
    "table7": Rule(
        "table7",
        "15 operations per output and 1 per output of the first convolution, fitted to Table 7 at M=4, N=5",
        "counted, by a rule fitted to the paper's Table 7",
        multiplications_per_output=lambda p: Fraction(15),
        comparisons_per_activation=lambda p: Fraction(0),
        first_convolution=1,
        only=(4, 5),
    ),
}


@dataclass(frozen=True)
class Storage:
    """How binary weights are stored."""

    name: str
    """As the command line takes it."""
    meaning: str
    """In words."""
    provenance: str
    """Where its figures come from."""
    bits_per_weight: Callable[[Planes], int]
    """Planes -> bits per binary weight."""


STORAGES = {
    "planes": Storage(
        "planes", "M bits per binary weight, as in the paper", "counted, by the paper's rule", lambda p: p.M
    ),
    "level-index": Storage(
        "level-index",
        "ceil(log2(levels)) bits per binary weight, because the index of a level gives all of PA's disjoint planes",
        "counted, by a rule that isn't the paper's",
        lambda p: code_bits(p.weight_levels),
    ),
}


def rule(
    name: str = "text", per_output: Fraction | int | None = None, per_activation: Fraction | int | None = None
) -> Rule:
    """The named rule, with its figures replaced where given.

    Args:
        name: A key of RULES.
        per_output: Multiplications per output.
        per_activation: Comparisons per activation.

    Raises:
        UsageError: The name is unknown, or a number is negative.
    """
    if name not in RULES:
        raise UsageError(f"rule: expected {' or '.join(RULES)}; found {name}")
    found = RULES[name]
    if per_output is not None:
        found = _changed(found, "multiplications per output", per_output)
        found = replace(found, given_multiplications=Fraction(per_output))
    if per_activation is not None:
        found = _changed(found, "comparisons per activation", per_activation)
        found = replace(found, given_comparisons=Fraction(per_activation))
    return found


def _changed(found: Rule, what: str, value: Fraction | int) -> Rule:
    """`found` with a meaning that names the given number. Raises UsageError if it is negative."""
    if value < 0:
        raise UsageError(f"{what}: expected a number of at least 0; found {value}")
    meaning = f"{found.meaning}; but {value} {what} (given)"
    return replace(found, meaning=meaning, provenance="counted, with numbers given by the user")


def storage(name: str = "planes") -> Storage:
    """The named storage. Raises UsageError on an unknown name."""
    if name not in STORAGES:
        raise UsageError(f"storage: expected {' or '.join(STORAGES)}; found {name}")
    return STORAGES[name]
