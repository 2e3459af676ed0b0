"""Comparisons go into the convolution in front of them, and equal ones are made once."""

import numpy as np

from paconv.passes.fuse.fuse_levels import FUSE_LEVELS
from paconv.passes.fuse.link_convs import LINK_CONVS
from paconv.passes.fuse.share_levels import SHARE_LEVELS
from paconv.passes.fuse.sink_transposes import SINK_TRANSPOSES
from paconv.passes.tidy.remove_dead import REMOVE_DEAD
from tests.passes.graphs import apply, canonical_form, image, names_of, ops, pa_conv, run

PASSES = (LINK_CONVS, SINK_TRANSPOSES, REMOVE_DEAD, SHARE_LEVELS, FUSE_LEVELS)


def fused(body, outputs="float[b,4,h,w] y", **constants):
    """The fused model, checked to give equal results, and fuse-levels' account."""
    reference = canonical_form(f"g (float[b,4,h,w] x) => ({outputs}) {{ {body} }}", **constants)
    result, account = apply(PASSES, reference)
    x = image(np.random.default_rng(1), 2, 4, 5, 6)
    for expected, found in zip(run(reference, x=x), run(result, x=x), strict=True):
        assert np.array_equal(expected, found)
    return result, account


def outputs(count):
    return ", ".join(f"float[b,4,h,w] y{k}" for k in range(count))


def test_a_result_that_only_a_convolution_reads_is_levels_alone():
    result, account = fused(pa_conv("c1", "x", "a") + pa_conv("c2", "a", "y"))
    assert ops(result) == ["Transpose", "PALevels", "PALevelConv", "PALevelConv", "Transpose"]
    assert names_of(result, "PALevelConv") == [["c1", "", "a.levels", ""], ["c2", "y.channel_last", "", ""]]
    assert [(r.what, r.node) for r in account.rewritten] == [("levels", "c1"), ("no-result", "c1")]
    assert next(n for n in result.graph.node if n.name == "c2").input[0] == "a.levels"


def test_a_result_that_is_read_as_it_is_stays_beside_its_levels():
    body = pa_conv("c1", "x", "a") + "z = Abs (a)" + pa_conv("c2", "a", "y")
    result, _ = fused(body, "float[b,4,h,w] y, float[b,4,h,w] z")
    assert names_of(result, "PALevelConv")[0] == ["c1", "a.channel_last", "a.levels", ""]


def test_a_graph_output_in_the_middle_stays_beside_its_levels():
    result, _ = fused(pa_conv("c1", "x", "a") + pa_conv("c2", "a", "y"), "float[b,4,h,w] y, float[b,4,h,w] a")
    assert names_of(result, "PALevelConv")[0] == ["c1", "a.channel_last", "a.levels", ""]
    assert {n.output[0] for n in result.graph.node if n.op_type == "Transpose"} == {"x.channel_last", "a", "y"}


def different(count):
    """c1, then `count` convolutions that compare its result with endpoints of their own, written as PAActivation."""
    body = pa_conv("c1", "x", "a")
    for k in range(count):
        body += pa_conv(f"r{k}", "a", f"y{k}").replace("(a, v, levels)", f"(a, v{k}, levels)")
    return body, {f"v{k}": np.float32([0.25 * k, 0.5 + k, 2 + k]) for k in range(count)}


def test_two_different_comparisons_are_two_outputs():
    body, constants = different(2)
    result, _ = fused(body, outputs(2), **constants)
    assert names_of(result, "PALevelConv")[0] == ["c1", "", "a.levels", "a.levels.1"]


def test_a_third_comparison_stays_a_node_with_a_reason():
    body, constants = different(3)
    result, account = fused(body, outputs(3), **constants)
    assert [(s.reason, s.node) for s in account.skipped] == [("more-than-2-comparisons", "c1")]
    assert names_of(result, "PALevelConv")[0] == ["c1", "a.channel_last", "a.levels", "a.levels.1"]
    assert ops(result).count("PALevels") == 2


def test_readers_with_equal_endpoints_share_one_output():
    body = pa_conv("c1", "x", "a") + pa_conv("r0", "a", "y0") + pa_conv("r1", "a", "y1")
    result, _ = fused(body, outputs(2))
    assert names_of(result, "PALevelConv")[0] == ["c1", "", "a.levels", ""]
    assert [n.input[0] for n in result.graph.node if n.name in ("r0", "r1")] == ["a.levels", "a.levels"]


def test_equal_comparisons_of_any_tensor_become_one_and_different_ones_stay():
    body = pa_conv("c1", "x", "a") + pa_conv("c2", "x", "c") + "s = Add (a, c)"
    body += pa_conv("c3", "x", "d").replace("(x, v, levels)", "(x, w, levels)") + "y = Add (s, d)"
    result, _ = fused(body, w=np.float32([0.25, 0.5, 1.125]))
    assert ops(result).count("PALevels") == 2
