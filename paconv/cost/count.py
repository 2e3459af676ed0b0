"""Counting: a network and a rule give memory and operations, layer by layer and in total.

Everything is an exact integer, or an exact fraction where 64 doesn't divide the bit operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction

from paconv.cost.rules import WORD_OPERATIONS, Rule, Storage, rule, storage
from paconv.cost.schemes import layer_scheme
from paconv.errors import UsageError
from paconv.network.layers import Layer, Network, Planes
from paconv.reporting.notebook import as_html
from paconv.reporting.tables import Column, Table, grouped, ratio, significant
from paconv.schemes import SCHEMES

__all__ = ["Cost", "Counting", "LayerCost", "NetworkCost", "count", "counting"]


@dataclass(frozen=True)
class Cost:
    """Counts of a layer or a network. Costs add up."""

    binary_weights: int = 0
    """B."""
    real_parameters: int = 0
    """R: weights, biases, 2 per batch-norm channel."""
    binary_bits: int = 0
    """Bits stored for B."""
    index_bits: int = 0
    """Bits of the same weights as level indexes, whatever the storage."""
    macs: int = 0
    """All multiply-accumulates."""
    real_macs: int = 0
    """Those of them with real operands."""
    bit_operations: int = 0
    """AND + popcount, per bit."""
    multiplications: Fraction = Fraction(0)
    """Elementwise ones of binary layers; real MACs not included."""
    comparisons: Fraction = Fraction(0)
    """Of activations with endpoints, in binary layers."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Cost)))

    @property
    def parameters(self) -> int:
        return self.binary_weights + self.real_parameters

    @property
    def real_bits(self) -> int:
        return 32 * self.real_parameters

    @property
    def bits(self) -> int:
        return self.real_bits + self.binary_bits

    @property
    def level_index_bits(self) -> int:
        """Memory with binary weights as the indexes of their levels, as an optimized model stores them."""
        return self.real_bits + self.index_bits

    @property
    def float_bits(self) -> int:
        """Memory of the full-precision network."""
        return 32 * self.parameters

    @property
    def bitwise_ops(self) -> Fraction:
        """Word operations: 64 bit operations each."""
        return Fraction(self.bit_operations, WORD_OPERATIONS)

    @property
    def flops(self) -> Fraction:
        return self.real_macs + self.bitwise_ops + self.multiplications + self.comparisons

    @property
    def float_flops(self) -> int:
        """Flops of the full-precision network: its MACs."""
        return self.macs

    @property
    def memory_saving(self) -> Fraction | None:
        """float_bits / bits, None for a layer without parameters of its own."""
        return Fraction(self.float_bits, self.bits) if self.bits else None

    @property
    def speedup(self) -> Fraction | None:
        """float_flops / flops, None for a layer without operations."""
        return Fraction(self.float_flops) / self.flops if self.flops else None


@dataclass(frozen=True)
class LayerCost:
    layer: Layer
    cost: Cost


@dataclass(frozen=True)
class NetworkCost:
    """What a network costs by a rule and a storage."""

    network: Network
    """What was counted."""
    layers: tuple[LayerCost, ...]
    """In the order of execution."""
    totals: Cost
    """The sum over `layers`."""
    rule: Rule
    """The rule applied."""
    storage: Storage
    """The storage applied."""

    def __repr__(self) -> str:
        cost = self.totals
        saved = "" if cost.memory_saving is None else f", saving {ratio(cost.memory_saving)}"
        faster = "" if cost.speedup is None else f", speedup {ratio(cost.speedup)}"
        size = f"{cost.bits / 8e6:.3g} MB{saved}; {significant(cost.flops, 1_000_000)} MFlops{faster}"
        return f"NetworkCost({len(self.layers)} layers: {size})"

    def _repr_html_(self) -> str:
        columns = [Column("name", "layer", left=True), Column("kind", "kind", left=True)]
        columns += [
            Column("planes", "planes", left=True),
            *(Column(key, key, read=grouped) for key in ("parameters", "bits")),
        ]
        columns += [Column("macs", "MACs", read=grouped), Column("flops", "Flops", read=grouped)]
        columns += [Column("memory_saving", "saving", read=ratio), Column("speedup", "speedup", read=ratio)]
        figures = [column.key for column in columns[3:]]
        rows = [
            {"name": name, "kind": kind, "planes": planes, **{key: getattr(cost, key) for key in figures}}
            for name, kind, planes, cost in (
                *((la.layer.name, la.layer.kind, la.layer.planes, la.cost) for la in self.layers),
                ("total", "", None, self.totals),
            )
        ]
        notes = ["saving and speedup: against the same network in full precision, as counted by the paper's rules"]
        return as_html(Table(repr(self), columns, rows, totals=1, notes=notes))


@dataclass(frozen=True)
class Counting:
    """How the elementwise operations of a network were counted, in words."""

    name: str
    """The rule's or the scheme's."""
    meaning: str
    """What it counts."""
    provenance: str
    """Where multiplications and comparisons come from."""

    def __str__(self) -> str:
        return f"{self.name}: {self.meaning}"


def count(network: Network, by: Rule | None = None, stored: Storage | None = None) -> NetworkCost:
    """Count what a network costs.

    Args:
        network: Layers with shapes.
        by: The rule; None is "text".
        stored: The storage; None is "planes".

    Raises:
        UsageError: The rule is known only for other M and N than the network has.
    """
    by, stored = by or rule(), stored or storage()
    _check_planes(by, network.layers)
    first = next((layer for layer in network if layer.is_convolution), None)
    compared: set[str] = set()
    counted = []
    for layer in network:
        counted.append(LayerCost(layer, _layer_cost(layer, by, stored, layer is first, layer.input_id in compared)))
        if layer.planes is not None and layer.planes.N is not None:
            compared.add(layer.input_id)
    return NetworkCost(network, tuple(counted), sum((c.cost for c in counted), Cost()), by, stored)


def counting(network: Network, by: Rule) -> Counting:
    """What `count` did, in words.

    By the rule if a layer's scheme leaves it to the rule, else by the schemes' own numbers, else real
    multiply-accumulates only.
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


def _check_planes(by: Rule, layers: Sequence[Layer]) -> None:
    if by.only is None:
        return
    found = {layer.planes for layer in layers if layer.planes is not None}
    if not found or any(p.scheme != "pa" or (p.M, p.N) != by.only for p in found):
        raise UsageError(
            f"rule {by.name}: it is known for PA with M={by.only[0]}, N={by.only[1]} only; "
            f"found {', '.join(sorted(map(str, found))) or 'no binary layer'}; use --rule text"
        )


def _layer_cost(layer: Layer, by: Rule, stored: Storage, is_first: bool, compared: bool) -> Cost:
    planes, macs = layer.planes, layer.macs
    if planes is None:
        elementwise = Fraction(by.first_convolution * layer.outputs if is_first else 0)
        real = layer.weights + layer.other_parameters
        return Cost(real_parameters=real, macs=macs, real_macs=macs, multiplications=elementwise)
    memory = Cost(
        binary_weights=layer.weights,
        real_parameters=layer.other_parameters,
        binary_bits=stored.bits_per_weight(planes) * layer.weights,
        index_bits=storage("level-index").bits_per_weight(planes) * layer.weights,
        macs=macs,
    )
    if planes.N is None:
        return replace(memory, real_macs=macs)
    per_output, per_activation = _elementwise(layer, planes, by)
    return replace(
        memory,
        bit_operations=planes.M * planes.N * macs,
        multiplications=per_output * layer.outputs,
        comparisons=Fraction(0) if compared else per_activation * layer.inputs,
    )


def _elementwise(layer: Layer, planes: Planes, by: Rule) -> tuple[Fraction, Fraction]:
    """Multiplications per output, comparisons per activation: given ones, else the scheme's own, else the rule's."""
    fixed = layer_scheme(layer).multiplications_per_output
    if fixed is None:
        found = by.multiplications_per_output(planes), by.comparisons_per_activation(planes)
    else:
        found = Fraction(fixed), Fraction(0)
    given = by.given_multiplications, by.given_comparisons
    return found[0] if given[0] is None else given[0], found[1] if given[1] is None else given[1]
