"""Passes import what earlier phases made, never what a later one makes."""

from tests.house.test_imports import ARROWS

PHASES = ("graph", "tidy", "lower", "fold", "fuse")


def test_a_phase_imports_from_graph_and_from_the_phases_before_it():
    order = {f"paconv.passes.{phase}": number for number, phase in enumerate(PHASES)}
    arrows = [(a, b, *(order.get(name.rpartition(".")[0]) for name in (a, b))) for a, b in ARROWS]
    inside = [(a, b, here, there) for a, b, here, there in arrows if here is not None and there is not None]
    assert len(inside) > 50
    assert [(a, b) for a, b, here, there in inside if there > here] == []
