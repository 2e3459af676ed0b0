"""Which PABitConvs become PALevelConv: those that are linked."""

import numpy as np
import pytest

from paconv.passes.fuse.link_convs import LINK_CONVS
from tests.passes.graphs import apply, canonical_form, fused_names, image, names_of, ops, pa_conv, run

TWO = pa_conv("c1", "x", "a") + pa_conv("c2", "a", "y")


def graph(body, outputs="float[b,4,h,w] y", **constants):
    return canonical_form(f"g (float[b,4,h,w] x) => ({outputs}) {{ {body} }}", **constants)


def test_two_in_a_row_get_levels_and_transposes_and_compute_the_same():
    reference = graph(TWO)
    fused, account = apply(LINK_CONVS, reference)
    assert [(r.what, r.node) for r in account.rewritten] == [("linked", "c1"), ("linked", "c2")]
    assert ops(fused) == ["Transpose", "PALevels", "PALevelConv", "Transpose", "PALevels", "PALevelConv", "Transpose"]
    assert names_of(fused, "PALevelConv") == [["c1", "a.channel_last", "", ""], ["c2", "y.channel_last", "", ""]]
    assert fused_names(fused, "c1") == ["a", "", ""]
    assert fused.graph.node[4].input[0] == "a.channel_last"
    x = image(np.random.default_rng(1), 2, 4, 5, 6)
    assert np.array_equal(run(reference, x=x)[0], run(fused, x=x)[0])


@pytest.mark.parametrize(
    "between",
    [
        "z = Relu (a)",
        "z = Clip (a, zero, one)",
        "z = MaxPool <kernel_shape = [2, 2]> (a)",
        "z = Add (a, x)",
        "z = Add (x, a)",
        "r = Relu (a) p = MaxPool <kernel_shape = [2, 2]> (r) z = Relu (p)",
    ],
)
def test_elementwise_nodes_and_pooling_link(between):
    body = pa_conv("c1", "x", "a") + between + pa_conv("c2", "z", "y")
    zero, one = np.float32(0), np.float32(0.75)
    _, account = apply(LINK_CONVS, graph(body, "float[b,4,i,j] y", zero=zero, one=one))
    assert [r.node for r in account.rewritten] == ["c1", "c2"]


@pytest.mark.parametrize("axis", [1, -3, 2])
def test_a_concatenation_of_channels_links_and_one_of_rows_too(axis):
    groups = 1 if axis == 2 else 2  # a weight of 4 input channels reads 8 in two groups
    body = pa_conv("c1", "x", "a") + f"s = Concat <axis = {axis}> (a, x) "
    body += pa_conv("c2", "s", "y", f"group = {groups}")
    _, account = apply(LINK_CONVS, graph(body, "float[b,4,i,j] y"))
    assert [r.node for r in account.rewritten] == ["c1", "c2"]


def test_results_that_meet_in_an_addition_are_linked():
    body = pa_conv("c1", "x", "a") + pa_conv("c2", "x", "c") + "y = Add (a, c)"
    assert [r.node for r in apply(LINK_CONVS, graph(body))[1].rewritten] == ["c1", "c2"]


@pytest.mark.parametrize(
    "body",
    [
        pa_conv("c1", "x", "y"),
        pa_conv("c1", "x", "a") + "y = Abs (a)",
        pa_conv("c1", "x", "a") + "z = Abs (a)" + pa_conv("c2", "z", "y"),
        pa_conv("c1", "x", "a") + pa_conv("c2", "x", "c") + "y = Max (a, c)",
        "r = Relu (x)" + pa_conv("c1", "r", "a") + "y = Abs (a)",
        pa_conv("c1", "x", "a") + "s = Add (a, k) m = Abs (s)" + pa_conv("c2", "m", "e") + "y = Add (e, k)",
    ],
)
def test_what_is_not_linked_stays_canonical(body):
    reference = graph(body, k=np.ones((1, 1, 1, 6), np.float32))
    found, account = apply(LINK_CONVS, reference)
    assert {s.reason for s in account.skipped} == {"not-linked"} and account.rewritten == []
    assert found.graph == reference.graph


def test_siblings_share_one_transpose():
    body = pa_conv("c1", "x", "a") + pa_conv("c2", "x", "c") + "y = Add (a, c)"
    fused, _ = apply(LINK_CONVS, graph(body))
    assert names_of(fused, "Transpose")[0][1] == "x.channel_last" and ops(fused).count("Transpose") == 3
