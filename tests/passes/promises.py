"""Passes run with a check of what they require before and of what they ensure after."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import pytest

from paconv.passes.graph.graph_pass import Pass, PassResult, Promise
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["BrokenPromise", "checked", "promises_kept"]

_skipped: WeakKeyDictionary[ModelGraph, dict[str, set[str]]] = WeakKeyDictionary()
"""Of each graph: what the last run of each pass left alone, by the pass's name."""


class BrokenPromise(AssertionError):
    """What a pass requires didn't hold before it ran, or what it ensures didn't afterwards."""


def checked(each: Pass, graph: ModelGraph) -> PassResult:
    """Run a pass between the two checks. What may be broken with a reason, a pass before must have given for the one,
    and this run for the other.
    """
    skipped = _skipped.setdefault(graph, {})
    _check(each, "requires", each.requires, graph, set().union(*skipped.values()))
    result = each.run(graph)
    skipped[each.name] = {skip.node for skip in result.skipped}
    _check(each, "ensures", each.ensures, graph, skipped[each.name])
    return result


def _check(each: Pass, what: str, promises: tuple[Promise, ...], graph: ModelGraph, skipped: set[str]) -> None:
    for promise in promises:
        if broken := promise.holds(graph, skipped):
            raise BrokenPromise(f"{each.name} {what} that {promise.says}; but {'; '.join(broken)}")


@pytest.fixture(autouse=True, scope="module")
def promises_kept() -> Iterator[None]:
    """Let whatever runs a pass check its promises."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pass, "__call__", checked)
        yield
