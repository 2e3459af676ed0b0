"""Additions go into the convolution in front of them."""

import numpy as np
import pytest

from paconv.passes.fuse.fuse_clip import FUSE_CLIP
from paconv.passes.fuse.fuse_levels import FUSE_LEVELS
from paconv.passes.fuse.fuse_residual import FUSE_RESIDUAL
from paconv.passes.fuse.link_convs import LINK_CONVS
from paconv.passes.fuse.sink_transposes import SINK_TRANSPOSES
from paconv.passes.tidy.remove_dead import REMOVE_DEAD
from tests.passes.graphs import apply, canonical_form, fused_names, image, names_of, ops, pa_conv, run

BEFORE = (LINK_CONVS, SINK_TRANSPOSES, REMOVE_DEAD)


def fused(body, outputs="float[b,4,5,6] y", inputs="float[b,4,5,6] x", passes=(*BEFORE, FUSE_RESIDUAL), **constants):
    """The fused model, checked to give equal results, and the last pass's account."""
    reference = canonical_form(f"g ({inputs}) => ({outputs}) {{ {body} }}", **constants)
    result, account = apply(passes, reference)
    x = image(np.random.default_rng(1), 2, 4, 5, 6)
    for expected, found in zip(run(reference, x=x), run(result, x=x), strict=True):
        assert np.array_equal(expected, found)
    return result, account


def inputs_of(model, label):
    return list(next(n for n in model.graph.node if n.name == label).input)


@pytest.mark.parametrize("operands", ["c, x", "x, c"])
def test_an_identity_shortcut_becomes_the_residual_input_with_a_free_batch(operands):
    body = pa_conv("c1", "x", "a") + pa_conv("c2", "a", "c") + f"y = Add ({operands})"
    result, account = fused(body)
    assert [(r.what, r.node) for r in account.rewritten] == [("residual", "c2")] and account.skipped == []
    assert "Add" not in ops(result) and inputs_of(result, "c2")[1] == "x.channel_last"
    assert names_of(result, "PALevelConv")[1] == ["c2", "y.channel_last", "", ""]
    assert fused_names(result, "c2") == ["c", "y", ""]


@pytest.mark.parametrize("order", [("c1", "c2"), ("c2", "c1")])
def test_of_two_convolutions_the_later_takes_the_other_s_result(order):
    first, second = order
    result, _ = fused(pa_conv(first, "x", "a") + pa_conv(second, "x", "c") + "y = Add (a, c)")
    assert inputs_of(result, second)[1] == "a.channel_last"
    assert fused_names(result, first) == ["a", "", ""] and fused_names(result, second) == ["c", "y", ""]


def test_a_convolution_moves_behind_what_it_adds():
    body = pa_conv("c1", "x", "a") + pa_conv("c2", "x", "c") + "m = Add (c, x) r = Relu (m) y = Add (a, r)"
    body += pa_conv("c3", "r", "z")
    result, _ = fused(body, "float[b,4,5,6] y, float[b,4,5,6] z")
    convs = [n.name for n in result.graph.node if n.op_type == "PALevelConv"]
    assert convs == ["c2", "c1", "c3"] and inputs_of(result, "c1")[1] == "r.channel_last"


def test_where_the_later_convolution_is_read_by_others_the_earlier_one_takes_it():
    body = pa_conv("c1", "x", "a") + pa_conv("c2", "x", "c") + "y = Add (a, c) z = Abs (c)"
    result, account = fused(body, "float[b,4,5,6] y, float[b,4,5,6] z")
    assert [r.node for r in account.rewritten] == ["c1"] and inputs_of(result, "c1")[1] == "c.channel_last"
    assert [n.name for n in result.graph.node if n.op_type == "PALevelConv"] == ["c2", "c1"]


@pytest.mark.parametrize(
    "body, outputs, reason",
    [
        ("s = Add (c, x)" + "z = Abs (c) y = Add (s, z)", "", "result-read-by-others"),
        ("y = Add (c, x)", ", float[b,4,5,6] c", "result-read-by-others"),
        ("y = Add (c, c)", "", "result-read-by-others"),
        ("p = GlobalAveragePool (x)" + pa_conv("c3", "p", "q") + "y = Add (c, q)", "", "residual-of-other-shape"),
        ("s = Add (c, x) y = Add (s, a)", "", "finish-is-full"),
    ],
)
def test_an_addition_that_cannot_go_in_stays_with_a_reason(body, outputs, reason):
    text = pa_conv("c1", "x", "a") + pa_conv("c2", "a", "c") + body
    result, account = fused(text, "float[b,4,5,6] y" + outputs)
    assert (reason, "c2") in [(s.reason, s.node) for s in account.skipped] and "Add" in ops(result)


def test_an_image_of_free_size_may_broadcast_so_its_addition_stays():
    body = pa_conv("c1", "x", "a") + pa_conv("c2", "a", "c") + "y = Add (c, x)"
    result, account = fused(body, "float[b,4,h,w] y", "float[b,4,h,w] x")
    assert [s.reason for s in account.skipped] == ["residual-of-other-shape"] and "Add" in ops(result)


def test_a_clip_in_front_of_the_addition_keeps_it_out():
    body = pa_conv("c1", "x", "a") + pa_conv("c2", "a", "c") + "r = Relu (c) y = Add (r, x)"
    _, account = fused(body, passes=(*BEFORE, FUSE_CLIP, FUSE_RESIDUAL))
    assert [(s.reason, s.node) for s in account.skipped] == [("finish-is-full", "c2")]


def test_levels_of_the_result_keep_the_addition_out():
    body = pa_conv("c1", "x", "a") + "y = Add (a, x)" + pa_conv("c2", "a", "z")
    result, account = fused(body, "float[b,4,5,6] y, float[b,4,5,6] z", passes=(*BEFORE, FUSE_LEVELS, FUSE_RESIDUAL))
    assert [(s.reason, s.node) for s in account.skipped] == [("result-read-by-others", "c1")] and "Add" in ops(result)
