"""What only moves data between convolutions works on level indexes, and is undone name by name."""

from collections import Counter

import numpy as np
import onnx
import pytest

import paconv
from paconv.passes.fuse.link_convs import LINK_CONVS
from paconv.passes.fuse.move_levels import MOVE_LEVELS
from paconv.passes.fuse.sink_transposes import SINK_TRANSPOSES
from paconv.passes.fuse.unfuse import canonical, unfuse
from paconv.passes.tidy.remove_dead import REMOVE_DEAD
from paconv.verification.fused import check_fused
from tests.passes.fuse.test_unfuse import signature, wiring
from tests.passes.graphs import apply, batch_norm, canonical_form, image, ops, pa_conv, run, weights

CONSTANTS = {
    "axis1": np.int64([1]), "starts3": np.int64([0, 0, 1]), "one1": np.int64([1]), "four": np.int64([4]),
    "ends3": np.int64([2**63 - 1, 9, 4]), "least": np.int64([-(2**63)]), "minus": np.int64([-1]), "row": np.int64([2]),
    "apart": np.int64([-1, 2, 2, 6, 7]), "together": np.int64([-1, 4, 6, 7]), "sizes13": np.int64([1, 3]),
    "scales": np.float32([1, 1, 2, 1.5]), "size": np.int64([9, 8]), "pads": np.int64([0, 0, 1, 2, 0, 0, 0, 1]),
    "zero": np.float32(0), "one": np.float32(1), "w": np.float32([0, 0.5]), "wlevels": np.float32([0, 0.5, 1]),
    "depthwise": np.float32([1, 2, 3, 4]).reshape(4, 1, 1, 1),
    "twice": np.float32([1, 1, 2, 2]), "halves": np.int64([4, 4]),
    "apart8": np.int64([-1, 2, 4, 6, 7]), "together8": np.int64([-1, 8, 6, 7]),
    "k": np.float32([[[[0.5]]], [[[-1]]], [[[2]]], [[[1]]]]).reshape(1, 4, 1, 1),
}  # fmt: skip
for _k in range(8):
    CONSTANTS |= {f"m{_k}": np.float32(1 + _k / 4), f"W{_k}": weights(np.random.default_rng(_k), 4, 4 * _k + 4, 3, 3)}
for _name, _gamma in (("bn", [1, -1, 0.5, 2]), ("bm", [-0.5, 1, 1, 2])):
    CONSTANTS |= batch_norm(_name, _gamma, [0.25, 0, 0.5, -0.5], [0, 1, 0, 0.5], [1, 4, 1, 0.25])
NORM = "{y} = BatchNormalization <epsilon = 0.0> ({x}, {p}_gamma, {p}_beta, {p}_mean, {p}_var) "


def norm(x, y, prefix="bn"):
    """Text of a batch norm that folds into endpoints and signs of each channel."""
    return NORM.format(x=x, y=y, p=prefix)


def fused(body, outputs="float[b,4,i,j] y", size="6,7"):
    """The fused model, checked bit by bit against the canonical one, and its undoing name by name."""
    plain = canonical_form(f"g (float[b,4,{size}] x) => ({outputs}) {{ {body} }}", **CONSTANTS)
    found = paconv.optimize(plain).model
    onnx.checker.check_model(found)
    back = canonical(found)
    assert signature(back) == signature(plain) and wiring(back) == wiring(plain)
    x = image(np.random.default_rng(1), 2, 4, *map(int, size.split(",")))
    for a, b in zip(run(plain, x=x), run(found, x=x), strict=True):
        assert np.array_equal(a, b)
    assert check_fused(found, unfuse(found), {"x": x}, "pa.onnx").difference is None
    assert not paconv.optimize(found).report.changed
    return found


def between(model):
    """Ops behind the first PALevels and before the last Transposes."""
    found = ops(model)
    return found[found.index("PALevels") :]


BEHIND = "n = Identity (z) "
MOVES = {
    "slice of rows": ("z = Slice (a, one1, four, row)", ["Slice"]),
    "strided slice backwards": ("z = Slice (a, minus, least, row, minus)", ["Slice"]),
    "channels turned round": ("z = Slice (a, minus, least, axis1, minus)", ["Slice"]),
    "slice without axes": ("z = Slice (a, starts3, ends3)", ["Slice"]),
    "nearest resize": ("z = Resize <mode = \"nearest\"> (a, , scales)", ["Resize"]),
    "nearest resize to a size": (
        "z = Resize <mode = \"nearest\", axes = [2, 3], nearest_mode = \"floor\","
        " coordinate_transformation_mode = \"asymmetric\"> (a, , , size)", ["Resize"]),
    "reflected padding": ("z = Pad <mode = \"reflect\"> (a, pads)", ["Pad"]),
    "padding with the edge": ("z = Pad <mode = \"edge\"> (a, pads)", ["Pad"]),
    "rows side by side": ("z = Concat <axis = 2> (a, a)", ["Concat"]),
    "channel shuffle": (
        "s = Reshape (a, apart) t = Transpose <perm = [0, 2, 1, 3, 4]> (s) z = Reshape (t, together)",
        ["Reshape", "Transpose", "Reshape"]),
}  # fmt: skip


@pytest.mark.parametrize("per_channel", [False, True], ids=["one comparison", "one of each channel"])
@pytest.mark.parametrize("move, expected", MOVES.values(), ids=MOVES)
def test_a_move_between_two_convolutions_moves_bytes(move, expected, per_channel):
    behind = norm("z", "n") if per_channel else BEHIND
    model = fused(pa_conv("c1", "x", "a") + move + " " + behind + pa_conv("c2", "n", "y"))
    assert between(model) == ["PALevels", "PALevelConv", *expected, "PALevelConv", "Transpose"]


def test_concatenated_results_of_convolutions_are_compared_where_they_are_made():
    body = pa_conv("c1", "x", "a") + pa_conv("c2", "a", "c") + "s = Concat <axis = 1> (a, c) "
    model = fused(body + pa_conv("c3", "s", "y", "group = 2"))
    assert between(model) == ["PALevels", "PALevelConv", "PALevelConv", "Concat", "PALevelConv", "Transpose"]


@pytest.mark.parametrize("how", ["axis = 1, num_outputs = 2> (s)", "axis = 1> (s, halves)"])
def test_parts_of_a_split_are_compared_each_in_its_way(how):
    body = pa_conv("c1", "x", "a") + pa_conv("c2", "a", "c") + "s = Concat <axis = 1> (c, a) "
    body += f"p, q = Split <{how} " + norm("p", "m") + norm("q", "n", "bm") + pa_conv("c3", "m", "d")
    body += pa_conv("c4", "n", "e").replace("(n, v, levels)", "(n, w, wlevels)") + "y = Add (d, e)"
    model = fused(body)
    assert "Split" in ops(model) and ops(model).count("PALevels") == 1 and ops(model).count("Transpose") == 2


def test_a_shuffle_net_has_bytes_alone_between_its_convolutions():
    body = pa_conv("c0", "x", "f0") + pa_conv("c00", "f0", "g0") + "x0 = Concat <axis = 1> (f0, g0) "
    for k in range(2):
        body += (
            f"l{k}, r{k} = Split <axis = 1, num_outputs = 2> (x{k}) " + norm(f"r{k}", f"n{k}")
            + pa_conv(f"d{k}", f"n{k}", f"e{k}") + f"j{k} = Concat <axis = 1> (l{k}, e{k}) "
            + f"s{k} = Reshape (j{k}, apart8) t{k} = Transpose <perm = [0, 2, 1, 3, 4]> (s{k}) "
            + f"x{k + 1} = Reshape (t{k}, together8) "
        )  # fmt: skip
    model = fused(body + pa_conv("last", "x2", "y", "group = 2"))
    assert ops(model).count("Transpose") == 2 + 2 and ops(model).count("PALevels") == 1
    assert [n.output[0] for n in model.graph.node if n.op_type == "PALevelConv"][:-1] == [""] * 4


def test_a_shuffle_before_a_depthwise_convolution_for_real_ops_stays_one_of_floats():
    body = pa_conv("c1", "x", "a") + MOVES["channel shuffle"][0] + " " + norm("z", "n") + pa_conv("c2", "n", "e")
    model = fused(body + "y = Conv <group = 4> (e, depthwise)")
    assert ops(model) == ["PABitConv", "Reshape", "Transpose", "Reshape", "PABitConv", "Conv"]


def test_a_decoder_concatenates_what_it_resizes_with_what_it_kept():
    pool = "p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a) "
    body = pa_conv("c1", "x", "a") + pool + pa_conv("c2", "p", "c")
    body += 'up = Resize <mode = "nearest"> (c, , twice) s = Concat <axis = 1> (up, a) '
    model = fused(body + pa_conv("c3", "s", "y", "group = 2"), size="6,8")
    assert not {"MaxPool", "Relu"} & set(ops(model)) and ops(model).count("PALevels") == 1


def reasons(body, outputs="float[b,4,i,j] y"):
    """Why passes left moves as they are, in the last run of each."""
    plain = canonical_form(f"g (float[b,4,6,7] x) => ({outputs}) {{ {body} }}", **CONSTANTS)
    return [s.reason for s in apply((LINK_CONVS, SINK_TRANSPOSES, REMOVE_DEAD, MOVE_LEVELS), plain)[1].skipped]


def test_zero_padding_moves_if_zero_has_one_level():
    body = pa_conv("c1", "x", "a") + "z = Pad (a, pads, {value}) " + "{norm}" + pa_conv("c2", "n", "y")
    body = body.replace("z = Pad", "[pad] z = Pad")
    half = body.format(value="one", norm="n = Mul (z, k) ")
    assert reasons(half) == ["pad-of-no-level"]
    fine = fused(body.format(value="zero", norm="n = Mul (z, k) "))
    assert "Pad" in between(fine) and ops(fine).count("PALevels") == 1
    mixed = body.format(value="zero", norm=norm("z", "n"))
    assert reasons(mixed) == ["pad-of-no-level"]


def test_a_moved_tensor_that_is_read_otherwise_too_stays():
    body = pa_conv("c1", "x", "a") + "z = Slice (a, one1, four, row) " + pa_conv("c2", "z", "y")
    assert reasons(body, "float[b,4,i,j] y, float[b,4,i,j] z") == ["moved-read-by-others"]


def test_two_comparisons_of_a_moved_tensor_move_it_twice():
    body = pa_conv("c1", "x", "a") + "[slice] z = Slice (a, one1, four, row) " + pa_conv("c2", "z", "d")
    body += pa_conv("c3", "z", "e").replace("(z, v, levels)", "(z, w, wlevels)") + "y = Add (d, e)"
    model = fused(body)
    assert ops(model).count("Slice") == 2 and ops(model).count("PALevels") == 1
    assert [node.name for node in model.graph.node].count("slice") == 1


def dense_block(layers):
    """Text of layers that each compare all channels before them in a way of its own, and append their own."""
    body = pa_conv("c0", "x", "a0")
    for k in range(layers + 1):
        body += f"n{k} = Mul (a{k}, m{k}) " + pa_conv(f"d{k}", f"n{k}", f"e{k}").replace("(W,", f"(W{k},")
        body += f"a{k + 1} = Concat <axis = 1> (a{k}, e{k}) " if k < layers else ""
    return body + f"y = Identity (e{layers})"


def test_what_each_later_layer_compares_in_its_own_way_is_not_moved_for_each():
    counts = [Counter(ops(fused(dense_block(layers)))) for layers in (4, 6)]
    assert counts[1]["Concat"] - counts[0]["Concat"] == counts[1]["PALevels"] - counts[0]["PALevels"] == 2
    assert "moved-compared-often" in reasons(dense_block(6))


def test_rows_that_are_compared_in_different_ways_are_split_as_floats():
    body = pa_conv("c1", "x", "a") + "p, q = Split <axis = 2, num_outputs = 2> (a) " + pa_conv("c2", "p", "d")
    body += pa_conv("c3", "q", "e").replace("(q, v, levels)", "(q, w, wlevels)") + "y = Add (d, e)"
    assert reasons(body) == ["comparisons-differ"]
