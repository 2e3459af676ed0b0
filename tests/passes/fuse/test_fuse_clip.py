"""Relu and Clip go into the convolution in front of them."""

import numpy as np
import pytest

from paconv.passes.fuse.fuse_clip import FUSE_CLIP
from paconv.passes.fuse.fuse_residual import FUSE_RESIDUAL
from paconv.passes.fuse.link_convs import LINK_CONVS
from paconv.passes.fuse.sink_transposes import SINK_TRANSPOSES
from paconv.passes.tidy.remove_dead import REMOVE_DEAD
from tests.passes.graphs import V_FROM_ZERO, apply, canonical_form, fused_names, image, initializer, ops, pa_conv, run

PASSES = (LINK_CONVS, SINK_TRANSPOSES, REMOVE_DEAD, FUSE_RESIDUAL, FUSE_CLIP)
BOUNDS = {"low": np.float32(-0.5), "high": np.float32([0.75]), "low2": np.float32(0.125)}


def fused(between, outputs="float[b,4,5,6] y", inputs="float[b,4,5,6] x"):
    """Two convolutions with `between` from a to z; checked to give equal results, and fuse-clip's account."""
    body = pa_conv("c1", "x", "a") + between + pa_conv("c2", "z", "y")
    reference = canonical_form(f"g ({inputs}) => ({outputs}) {{ {body} }}", v=V_FROM_ZERO, **BOUNDS)
    result, account = apply(PASSES, reference)
    rng = np.random.default_rng(1)
    feeds = {"x": image(rng, 2, 4, 5, 6), "k": np.array(0.25, np.float32)}
    feeds = {i.name: feeds[i.name] for i in result.graph.input}
    for expected, found in zip(run(reference, **feeds), run(result, **feeds), strict=True):
        assert np.array_equal(expected, found)
    return result, account


def bounds(model, label):
    node = next(n for n in model.graph.node if n.name == label)
    return initializer(model, node.input[7]).tolist()


@pytest.mark.parametrize(
    "between, expected",
    [
        ("Relu (a)", [0, np.inf]),
        ("Clip (a, low, high)", [-0.5, 0.75]),
        ("Clip (a, low2)", [0.125, np.inf]),
        ("Clip (a, , high)", [-np.inf, 0.75]),
        ("Clip (a, high, low)", [0.75, -0.5]),  # everything becomes the upper bound
    ],
)
def test_constant_bounds_become_the_clip(between, expected):
    result, account = fused(f"z = {between}")
    assert [(r.what, r.node) for r in account.rewritten] == [("clip", "c1")]
    assert bounds(result, "c1") == expected and bounds(result, "c2") == [-np.inf, np.inf]
    assert fused_names(result, "c1") == ["a", "", "z"] and not {"Relu", "Clip"} & set(ops(result))


def test_a_clip_behind_a_residual_goes_in_too():
    result, _ = fused("s = Add (x, a) z = Relu (s)")
    assert fused_names(result, "c1") == ["a", "s", "z"]


@pytest.mark.parametrize(
    "between, outputs, inputs, reason",
    [
        ("z = Relu (a)", ", float[b,4,5,6] a", "", "result-read-by-others"),
        ("z = Relu (a) t = Abs (a)", ", float[b,4,5,6] t", "", "result-read-by-others"),
        ("z = Clip (a, k)", "", ", float k", "bounds-not-constant"),
        ("r = Relu (a) z = Clip (r, low2, high)", "", "", "finish-is-full"),
    ],
)
def test_a_clip_that_cannot_go_in_stays_with_a_reason(between, outputs, inputs, reason):
    result, account = fused(between, "float[b,4,5,6] y" + outputs, "float[b,4,5,6] x" + inputs)
    assert [(s.reason, s.node) for s in account.skipped] == [(reason, "c1")]
    assert {"Relu", "Clip"} & set(ops(result))


def test_a_relu_read_by_others_goes_in_because_its_result_is_what_they_read():
    result, _ = fused("z = Relu (a) t = Abs (z)", "float[b,4,5,6] y, float[b,4,5,6] t, float[b,4,5,6] z")
    assert "Relu" not in ops(result) and fused_names(result, "c1") == ["a", "", "z"]
