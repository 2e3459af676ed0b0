"""What a pass is: a small promise about a graph, and an account of what it did and didn't do."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field

from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["Pass", "PassResult", "Promise", "Rewrite", "Skip", "Unsuitable"]


class Unsuitable(Exception):
    """Raised inside a pass when a candidate can't be rewritten; `reason` is a code of paconv.passes.graph.reasons."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Rewrite:
    """One thing done: `what` (a short stable name) at `node` (a convolution's label, or another node's)."""

    what: str
    node: str


@dataclass(frozen=True)
class Skip:
    """One candidate left alone: why (a code of paconv.passes.graph.reasons) and where."""

    reason: str
    node: str


@dataclass
class PassResult:
    """What one run of a pass did."""

    rewritten: list[Rewrite] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)


@dataclass(frozen=True)
class Promise:
    """Something that holds for a graph before or after a pass: a sentence, and the check of it that tests run.

    says: the sentence. breaks: (label, what is wrong there) for each node that breaks it; None where a graph doesn't
    show it, `unseen` says why. but_skipped: whether nodes that passes left alone, with a reason, may break it.
    """

    says: str
    breaks: Callable[[ModelGraph], Iterable[tuple[str, str]]] | None = None
    but_skipped: bool = False
    unseen: str = ""

    def holds(self, graph: ModelGraph, skipped: Container[str] = ()) -> list[str]:
        """What doesn't hold, a sentence each; skipped: labels of the nodes that passes left alone."""
        found = () if self.breaks is None else self.breaks(graph)
        return [f"{label}: {wrong}" for label, wrong in found if not (self.but_skipped and label in skipped)]


@dataclass(frozen=True)
class Pass:
    """A rewriting of a ModelGraph in place. It keeps no state, and a second run finds nothing left to do.

    requires: what must hold before; ensures: what holds after. What one pass ensures another one can require.

    What the conversion report (paconv.passes.graph.report) needs to know: absorbs has the names of those of its
    rewrites that take something into a convolution; what it refuses is then said to have been kept beside it. decides
    says whether it gives a Conv another form; what it refuses is then the reason for the form that a Conv has.
    """

    name: str
    requires: tuple[Promise, ...]
    ensures: tuple[Promise, ...]
    run: Callable[[ModelGraph], PassResult]
    absorbs: tuple[str, ...] = ()
    decides: bool = False

    def __call__(self, graph: ModelGraph) -> PassResult:
        """Run it."""
        return self.run(graph)
