"""Names and Transposes of channel-last tensors."""

import numpy as np
import pytest

from paconv.passes.fuse.layout import (
    channel_last,
    is_to_channel_first,
    is_to_channel_last,
    make_result_channel_last,
    stands_for,
    twin,
)
from paconv.passes.graph.model_graph import ModelGraph
from tests.passes.graphs import model, ops


@pytest.mark.parametrize("t", ["t", "a.channel_last", "a.channel_last.1", "1", ".channel_last", "a\nb"])
def test_the_name_of_a_twin_says_what_it_stands_for_whatever_that_is_called(t):
    assert stands_for(f"{t}.channel_last") == t
    assert stands_for(f"{t}.channel_last.12") == t


@pytest.mark.parametrize("name", ["", "t", ".channel_last", "t.channel_last.", "t.channel_last.x", "t.channel_lasts"])
def test_other_names_stand_for_nothing(name):
    assert stands_for(name) is None


def graph(body, outputs="float[b,h,w,4] y"):
    return ModelGraph(model(f"g (float[b,4,h,w] x) => ({outputs}) {{ {body} }}"))


def test_only_transposes_with_names_of_ours_are_ours():
    text = 'p = Transpose <perm = [0, 2, 3, 1]> (x) "x.channel_last" = Transpose <perm = [0, 2, 3, 1]> (x)'
    text += ' q = Transpose <perm = [0, 3, 1, 2]> ("x.channel_last") y = Add (p, "x.channel_last")'
    found = graph(text, "float[b,h,w,4] y, float[b,4,h,w] q")
    assert [is_to_channel_last(n) for n in found.nodes] == [False, True, False, False]
    assert not any(is_to_channel_first(n) for n in found.nodes)


def test_a_twin_is_made_once_behind_its_producer_under_a_name_that_is_free():
    found = graph('z = Neg (x) "z.channel_last" = Abs (z) y = Transpose <perm = [0, 2, 3, 1]> ("z.channel_last")')
    z = found.nodes[0].outputs[0]
    made = channel_last(z, found)
    assert made.name == "z.channel_last.1" and stands_for(made.name) == "z" and made.shape == ["b", "h", "w", 4]
    assert channel_last(z, found) is made is twin(z)
    assert [n.op for n in found.nodes] == ["Neg", "Transpose", "Abs", "Transpose"]


def test_a_twin_of_a_graph_input_comes_first():
    found = graph("y = Transpose <perm = [0, 2, 3, 1]> (x)")
    channel_last(found.nodes[0].inputs[0], found)
    assert [n.outputs[0].name for n in found.nodes] == ["x.channel_last", "y"]


def test_a_result_made_channel_last_keeps_its_name_and_takes_the_place_of_its_transpose():
    found = graph("z = Neg (x) y = Abs (z)", "float[b,4,h,w] y")
    z = found.nodes[0].outputs[0]
    made = channel_last(z, found)
    assert make_result_channel_last(found.nodes[0], found) is made
    exported = found.export()
    assert ops(exported) == ["Neg", "Transpose", "Abs"]
    assert [n.output[0] for n in exported.graph.node] == ["z.channel_last", "z", "y"]
    assert list(exported.graph.node[1].attribute[0].ints) == [0, 3, 1, 2]


def test_same_shape_needs_sizes_or_names_of_graph_inputs():
    found = graph("z = Neg (x) y = Transpose <perm = [0, 2, 3, 1]> (z)")
    x, z, y = found.nodes[0].inputs[0], found.nodes[0].outputs[0], found.nodes[1].outputs[0]
    assert found.same_shape(x, z) and not found.same_shape(x, y)
    made_up = [found.variable(f"t{k}", np.float32, ["b", "unk__0", 4, 4]) for k in range(2)]
    assert not found.same_shape(*made_up)
    assert not found.same_shape(found.variable("u", np.float32, None), found.variable("u", np.float32, None))
