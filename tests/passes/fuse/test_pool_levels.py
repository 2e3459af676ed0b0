"""MaxPool between convolutions runs on level indexes where that is exact."""

import numpy as np
import pytest

import paconv
from paconv.passes.fuse.link_convs import LINK_CONVS
from paconv.passes.fuse.pool_levels import POOL_LEVELS
from paconv.passes.fuse.sink_transposes import SINK_TRANSPOSES
from paconv.passes.tidy.remove_dead import REMOVE_DEAD
from tests.passes.graphs import apply, batch_norm, canonical_form, image, names_of, ops, pa_conv, run

PASSES = (LINK_CONVS, SINK_TRANSPOSES, REMOVE_DEAD, POOL_LEVELS)
POOL = "kernel_shape = [2, 2], strides = [2, 2]"


def pooled(attributes, behind="", outputs="", size="7,8", result="p"):
    """c1, MaxPool, c2: the fused model, checked to give equal results, and pool-levels' account."""
    body = pa_conv("c1", "x", "a") + f"[pool] {result} = MaxPool <{attributes}> (a)" + behind + pa_conv("c2", "p", "y")
    text = f"g (float[b,4,{size}] x) => (float[b,4,i,j] y{outputs}) {{ {body} }}"
    reference = canonical_form(text)
    _, account = apply(PASSES, reference)
    fused, _ = apply((*PASSES, REMOVE_DEAD), reference)
    for rows, columns in ((7, 8), (9, 6)) if size == "h,w" else ((7, 8),):
        x = image(np.random.default_rng(1), 2, 4, rows, columns) - 3  # mostly below zero: padding must not win
        for expected, found in zip(run(reference, x=x), run(fused, x=x), strict=True):
            assert np.array_equal(expected, found)
    return fused, account


def attributes_of(model):
    node = next(n for n in model.graph.node if n.op_type == "PALevelMaxPool")
    return {a.name: list(a.ints) or list(a.strings) or a.i for a in node.attribute}


@pytest.mark.parametrize(
    "attributes, kernel, strides, pads",
    [
        (POOL, [2, 2], [2, 2], [0, 0, 0, 0]),
        ("kernel_shape = [3, 2]", [3, 2], [1, 1], [0, 0, 0, 0]),
        ("kernel_shape = [3, 3], strides = [2, 1], pads = [1, 2, 0, 1]", [3, 3], [2, 1], [1, 2, 0, 1]),
        ("kernel_shape = [3, 3], auto_pad = \"SAME_UPPER\"", [3, 3], [1, 1], [1, 1, 1, 1]),
        ("kernel_shape = [2, 2], auto_pad = \"SAME_LOWER\"", [2, 2], [1, 1], [1, 1, 0, 0]),
        ("kernel_shape = [2, 2], auto_pad = \"VALID\"", [2, 2], [1, 1], [0, 0, 0, 0]),
    ],
)  # fmt: skip
def test_pooling_runs_on_levels_for_any_image(attributes, kernel, strides, pads):
    fused, account = pooled(attributes, size="h,w")
    assert [(r.what, r.node) for r in account.rewritten] == [("pool", "pool")] and account.skipped == []
    assert ops(fused)[3:5] == ["PALevels", "PALevelMaxPool"] and "MaxPool" not in ops(fused)
    found = attributes_of(fused)
    assert (found["kernel_shape"], found["strides"], found["pads"]) == (kernel, strides, pads)
    assert found["names"] == [b"p"]


@pytest.mark.parametrize(
    "attributes, pads",
    [
        ("kernel_shape = [2, 2], strides = [2, 2]", [0, 0, 1, 0]),
        ("kernel_shape = [3, 3], strides = [2, 2]", [0, 0, 0, 1]),
        ("kernel_shape = [3, 3], strides = [3, 3], pads = [1, 0, 1, 1]", [1, 0, 1, 1]),
        ("kernel_shape = [3, 2], strides = [1, 2], pads = [0, 0, 2, 0]", [0, 0, 2, 0]),
    ],
)
def test_ceil_mode_becomes_padding_where_the_size_is_known(attributes, pads):
    fused, _ = pooled(f"{attributes}, ceil_mode = 1")
    assert attributes_of(fused)["pads"] == pads
    _, account = pooled(f"{attributes}, ceil_mode = 1", size="h,w")
    assert [(s.reason, s.node) for s in account.skipped] == [("pool-not-plain", "pool")]


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"attributes": "kernel_shape = [2, 2], dilations = [2, 1]"}, "pool-not-plain"),
        ({"attributes": POOL, "result": "p, index", "outputs": ", int64[b,4,k,l] index"}, "pool-not-plain"),
        ({"attributes": POOL, "outputs": ", float[b,4,k,l] p"}, "pool-read-by-others"),
        ({"attributes": POOL, "behind": "z = Abs (p)", "outputs": ", float[b,4,k,l] z"}, "pool-read-by-others"),
        (
            {"attributes": "kernel_shape = [3, 3], strides = [2, 2], auto_pad = \"SAME_UPPER\"", "size": "h,w"},
            "dynamic-shape-auto-pad",
        ),
    ],
)  # fmt: skip
def test_pooling_that_levels_cannot_express_stays_with_a_reason(change, reason):
    fused, account = pooled(**change)
    assert [(s.reason, s.node) for s in account.skipped] == [(reason, "pool")] and "MaxPool" in ops(fused)


def test_pooling_read_as_a_residual_too_stays():
    body = pa_conv("c1", "x", "a") + f"[pool] p = MaxPool <{POOL}> (a)" + pa_conv("c2", "p", "c") + "y = Add (c, p)"
    _fused, account = apply(PASSES, canonical_form(f"g (float[b,4,8,8] x) => (float[b,4,4,4] y) {{ {body} }}"))
    assert [(s.reason, s.node) for s in account.skipped] == [("pool-read-by-others", "pool")]


def test_a_comparison_the_other_way_round_stays_behind_the_pooling():
    norm = "n = BatchNormalization <epsilon = 0.0> (p, bn_gamma, bn_beta, bn_mean, bn_var)"
    body = pa_conv("c1", "x", "a") + f"[pool] p = MaxPool <{POOL}> (a)" + norm + pa_conv("c2", "n", "y")
    for gamma, reason in ([1, 1, 1, 1], []), ([1, -1, 1, 1], ["comparison-turned-round"]):
        reference = canonical_form(
            f"g (float[b,4,8,8] x) => (float[b,4,4,4] y) {{ {body} }}",
            **batch_norm("bn", gamma, [0.25, 0, 0.5, -0.5], [0, 1, 0, 0.5], [1, 4, 1, 0.25]),
        )
        fused, account = apply(PASSES, reference)
        assert [s.reason for s in account.skipped] == reason
        x = image(np.random.default_rng(1), 2, 4, 8, 8)
        assert np.array_equal(run(reference, x=x)[0], run(fused, x=x)[0])


def test_each_comparison_behind_a_pooling_gets_its_own_levels():
    body = pa_conv("c1", "x", "a") + f"p = MaxPool <{POOL}> (a)" + pa_conv("c2", "p", "y")
    body += pa_conv("c3", "p", "z").replace("(p, v, levels)", "(p, w, levels)")
    text = f"g (float[b,4,8,8] x) => (float[b,4,4,4] y, float[b,4,4,4] z) {{ {body} }}"
    reference = canonical_form(text, w=np.float32([0, 0.5, 2]))
    fused = paconv.optimize(reference).model
    assert ops(fused).count("PALevelMaxPool") == 2
    assert names_of(fused, "PALevelConv")[0] == ["c1", "", "a.levels", "a.levels.1"]
    x = image(np.random.default_rng(1), 2, 4, 8, 8)
    for expected, found in zip(run(reference, x=x), run(fused, x=x), strict=True):
        assert np.array_equal(expected, found)


def test_a_vgg_has_bytes_alone_between_its_convolutions():
    body = "".join(
        pa_conv(f"c{k}", f"x{k}", f"a{k}")
        + f"r{k} = Relu (a{k}) "
        + (f"x{k + 1} = MaxPool <{POOL}> (r{k}) " if k % 2 else f"x{k + 1} = Identity (r{k}) ")
        for k in range(4)
    )
    text = f"g (float[b,4,h,w] x0) => (float[b,4,i,j] x4) {{ {body} }}"
    reference = canonical_form(text, v=np.float32([0, 0.5, 1]))
    fused = paconv.optimize(reference).model
    assert ops(fused) == [
        "Transpose", "PALevels", "PALevelConv", "PALevelConv", "PALevelMaxPool", "PALevelConv", "PALevelConv",
        "Transpose", "MaxPool",
    ]  # fmt: skip
    assert [outputs[1] for outputs in names_of(fused, "PALevelConv")] == ["", "", "", "r3.channel_last"]
    x = image(np.random.default_rng(1), 2, 4, 8, 9)
    assert np.array_equal(run(reference, x0=x)[0], run(fused, x0=x)[0])
