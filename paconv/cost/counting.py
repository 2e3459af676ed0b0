"""In words: how the elementwise operations of one network were counted, by its schemes and by the rule."""

from __future__ import annotations

from dataclasses import dataclass

from paconv.cost.rules import Rule
from paconv.network.layers import Network
from paconv.schemes import SCHEMES

__all__ = ["Counting", "counting"]


@dataclass(frozen=True)
class Counting:
    """name: the rule's or the scheme's; provenance: where multiplications and comparisons come from."""

    name: str
    meaning: str
    provenance: str

    def __str__(self) -> str:
        return f"{self.name}: {self.meaning}"


def counting(network: Network, by: Rule) -> Counting:
    """What paconv.cost.count did: the rule where a layer's scheme leaves it to the rule, else the scheme's own
    numbers, else real multiply-accumulates only.
    """
    schemes = {planes.scheme: SCHEMES[planes.scheme] for planes in network.planes if planes.N is not None}
    if any(scheme.multiplications_per_output is None for scheme in schemes.values()):
        return Counting(f"rule {by.name}", by.meaning, by.provenance)
    if not schemes:
        if network.planes:
            meaning = "activations are full precision: the Flops are real MACs, nothing else"
            return Counting("weights only", meaning, "counted from the model's shapes")
        meaning = "no layer is binary: the Flops are real MACs, nothing else"
        return Counting("scheme float", meaning, "counted from the model's shapes")
    parts = [f"{scheme.meaning} has {scheme.multiplications_per_output} multiplications per output of a binary layer "
             "and no comparisons" for scheme in schemes.values()]  # fmt: skip
    given = [
        f"{number} {what} (given)"
        for number, what in ((by.given_multiplications, "multiplications per output"),
                             (by.given_comparisons, "comparisons per activation"))
        if number is not None
    ]  # fmt: skip
    meaning = "; but ".join(["; ".join(parts), *([", ".join(given)] if given else [])])
    origin = by.provenance if given else "counted, by the scheme's own rule"
    return Counting(f"scheme {', '.join(schemes)}", meaning, origin)
