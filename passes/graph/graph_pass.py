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
    """Something that holds for a graph before or after a pass: a sentence, and the check of it that tests run."""

    says: str
    """The sentence."""
    breaks: Callable[[ModelGraph], Iterable[tuple[str, str]]] | None = None
    """(label, what is wrong there) of each node that breaks it; None where a graph doesn't show it."""
    but_skipped: bool = False
    """Whether nodes that passes left alone, with a reason, may break it."""
    unseen: str = ""
    """Why no graph shows whether it holds."""

    def holds(self, graph: ModelGraph, skipped: Container[str] = ()) -> list[str]:
        """What doesn't hold, one sentence each.

        Args:
            graph: What to check, as it is now.
            skipped: Labels of the nodes that passes left alone.
        """
        found = () if self.breaks is None else self.breaks(graph)
        return [f"{label}: {wrong}" for label, wrong in found if not (self.but_skipped and label in skipped)]


@dataclass(frozen=True)
class Pass:
    """A rewriting of a ModelGraph in place. It keeps no state, and a second run finds nothing left to do."""

    name: str
    """What reports call it."""
    requires: tuple[Promise, ...]
    """What must hold before; often what another pass ensures."""
    ensures: tuple[Promise, ...]
    """What holds after."""
    run: Callable[[ModelGraph], PassResult]
    """The rewriting."""
    absorbs: tuple[str, ...] = ()
    """Those of its rewrites, by `Rewrite.what`, that take something into a convolution. What a pass that absorbs
    something leaves alone stays beside the convolution (`ConvLine.kept`).
    """
    decides: bool = False
    """Whether it gives a Conv another form. Why it leaves one alone is then why that has the form it has."""

    def __call__(self, graph: ModelGraph) -> PassResult:
        """Run it. Tests check its promises here."""
        return self.run(graph)
