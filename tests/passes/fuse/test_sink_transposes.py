"""Elementwise ops and moves of data work channel-last where their inputs are."""

import numpy as np
import pytest

from paconv.passes.fuse.link_convs import LINK_CONVS
from paconv.passes.fuse.sink_transposes import SINK_TRANSPOSES
from paconv.passes.tidy.remove_dead import REMOVE_DEAD
from tests.passes.graphs import V_FROM_ZERO, apply, canonical_form, image, ops, pa_conv, run

PASSES = (LINK_CONVS, SINK_TRANSPOSES, REMOVE_DEAD)
START = ["Transpose", "PALevels", "PALevelConv"]


def sunk(body, outputs="float[b,4,h,w] y", **constants):
    """The sunk model, checked to give equal results, and sink-transposes' account."""
    reference = canonical_form(f"g (float[b,4,h,w] x) => ({outputs}) {{ {body} }}", v=V_FROM_ZERO, **constants)
    _, account = apply((LINK_CONVS, SINK_TRANSPOSES), reference)
    result, _ = apply(PASSES, reference)
    x = image(np.random.default_rng(1), 2, 4, 5, 6)
    for expected, found in zip(run(reference, x=x), run(result, x=x), strict=True):
        assert np.array_equal(expected, found)
    return result, account


@pytest.mark.parametrize(
    "between, op",
    [("Relu (a)", "Relu"), ("Clip (a, low, high)", "Clip"), ("Clip (a, , high)", "Clip"), ("Add (a, x)", "Add"),
     ("Add (x, a)", "Add"), ("Add (a, a)", "Add"), ("Mul (a, x)", "Mul"), ("Sub (x, a)", "Sub"),
     ("LeakyRelu (a)", "LeakyRelu"), ("HardSigmoid <alpha = 0.25> (a)", "HardSigmoid")],
)  # fmt: skip
def test_an_elementwise_node_between_two_convolutions_leaves_no_transposes_there(between, op):
    body = pa_conv("c1", "x", "a") + f"[e] z = {between}" + pa_conv("c2", "z", "y")
    result, account = sunk(body, low=np.float32(-0.5), high=np.float32(0.75))
    assert [(r.what, r.node) for r in account.rewritten] == [("channel-last", "e")]
    assert ops(result) == [*START, op, "PALevels", "PALevelConv", "Transpose"]
    assert next(n for n in result.graph.node if n.name == "e").output[0] == "z.channel_last"


def test_a_concatenation_of_channels_is_taken_along_the_last_axis():
    body = pa_conv("c1", "x", "a") + pa_conv("c2", "a", "c") + "s = Concat <axis = -3> (a, x, c) y = Abs (s)"
    result, _ = sunk(body, "float[b,12,h,w] y")
    concat = next(n for n in result.graph.node if n.op_type == "Concat")
    assert list(concat.input) == ["a.channel_last", "x.channel_last", "c.channel_last"]
    assert concat.attribute[0].i == 3 and ops(result)[-2:] == ["Transpose", "Abs"]


def test_a_chain_sinks_whole_and_a_broadcast_addition_too():
    body = pa_conv("c1", "x", "a") + "p = GlobalAveragePool (a) r = Relu (a) s = Add (r, x) t = Relu (s)"
    body += pa_conv("c2", "t", "e") + "y = Add (e, p)"
    result, account = sunk(body)
    assert account.skipped == []
    assert [n.output[0] for n in result.graph.node if n.op_type in ("Relu", "Add")] == [
        "r.channel_last", "s.channel_last", "t.channel_last", "y.channel_last",
    ]  # fmt: skip


def test_what_exists_channel_first_only_is_transposed_unless_that_makes_more_transposes():
    linked = pa_conv("c1", "x", "a") + "p = Abs (x) q = Abs (p)" + pa_conv("c2", "a", "c")
    result, account = sunk(linked + "y = Add (c, p)")
    assert account.skipped == [] and ops(result)[-2:] == ["Add", "Transpose"]
    result, account = sunk(linked + "y = Concat <axis = 1> (c, p, q)", "float[b,12,h,w] y")
    assert [s.reason for s in account.skipped] == ["beside-channel-first"] and ops(result)[-1] == "Concat"


def test_graph_outputs_and_other_readers_keep_their_channel_first_tensors():
    body = pa_conv("c1", "x", "a") + "r = Relu (a) z = Abs (r)" + pa_conv("c2", "r", "y")
    result, _ = sunk(body, "float[b,4,h,w] y, float[b,4,h,w] a, float[b,4,h,w] z")
    assert {n.output[0] for n in result.graph.node if n.op_type == "Transpose"} == {"x.channel_last", "a", "r", "y"}


def test_a_node_with_nothing_channel_last_to_read_stays():
    body = "e = Add (x, x)" + pa_conv("c1", "e", "a") + pa_conv("c2", "a", "y")
    result, account = sunk(body)
    assert account.rewritten == [] and ops(result)[0] == "Add"
