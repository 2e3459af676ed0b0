"""Units of work against counts made by hand."""

from __future__ import annotations

from dataclasses import replace

from paconv.cost.host.work import bit_work, code_work, elements_moved, filling, float_work, runs_as_codes
from paconv.grid import largest_integers
from paconv.network.layers import LINEAR, DataOp, Layer
from tests.cost.host.synthetic import conv


def test_bit_planes_count_vectors_words_and_padded_lanes():
    layer = conv(C=40, O=20, size=7, kernel=3)
    assert bit_work(layer, 4, 5) == {
        "node": 1,
        "row_endpoint": 40 * 7 * 5,
        "element_endpoint": 40 * 7 * 16 * 5,  # rows of 7 take a vector of 16
        "word": 7 * 7 * 32 * 9 * 2 * 20,  # 20 outputs in 32 lanes, 40 channels in 2 words
        "output": 7 * 7 * 32,
    }


def test_groups_pad_lanes_and_words_each_on_their_own():
    work = bit_work(conv(C=66, O=34, size=4, kernel=1, group=2), 2, 3)
    assert work["output"] == 16 * 2 * 32
    assert work["word"] == 16 * 2 * 32 * 1 * 2 * 6


def test_a_stride_compares_all_inputs_and_counts_fewer_outputs():
    work = bit_work(conv(C=32, O=16, size=8, stride=2), 1, 1)
    assert (work["row_endpoint"], work["output"]) == (32 * 8, 16 * 16)


def test_level_codes_count_padded_lanes_and_channels_that_share_words():
    layer = conv(C=41, O=20, size=7, kernel=3)
    assert code_work(layer, 5) == {
        "node": 1,
        "element": 41 * 7 * 7,
        "element_endpoint": 41 * 7 * 7 * 5,
        "product": 7 * 7 * 32 * 9 * 44,  # 20 outputs in 32 lanes, four channels a word
        "output": 7 * 7 * 32,
    }
    grouped = code_work(conv(C=66, O=34, size=4, kernel=1, group=2), 1)
    assert (grouped["product"], grouped["output"]) == (16 * 2 * 32 * 36, 16 * 2 * 32)


def test_channels_fill_lanes_of_16_and_words_of_4_in_each_group():
    assert filling(conv(64, 64, 8)) == 1
    assert filling(conv(64, 20, 8)) == 20 / 32
    assert filling(conv(6, 16, 8)) == 6 / 8
    assert filling(conv(12, 48, 8, group=2)) == 24 / 32 * 6 / 8


def test_codes_are_taken_up_to_windows_whose_sums_fit_32_bits():
    assert runs_as_codes(conv(64, 64, 8), 1)
    for N in (5, 8):
        A, B = largest_integers(N)
        most = (2**31 - 1) // (A * B)
        assert runs_as_codes(conv(most, 16, 1, kernel=1), N)
        assert not runs_as_codes(conv(most + 1, 16, 1, kernel=1), N)
    assert not runs_as_codes(Layer("fc", LINEAR, (10, 20), (2, 20), (2, 10)), 5)


def test_float_work_has_the_class_of_the_convolution():
    def classes(layer: Layer) -> set[str]:
        return {unit for unit in float_work(layer) if unit.startswith("mac")}

    assert classes(conv(64, 64, 8)) == {"mac_window"}
    assert classes(conv(64, 64, 8, kernel=1)) == {"mac_pointwise"}
    assert classes(conv(3, 64, 8, kernel=7)) == {"mac_shallow"}
    assert classes(conv(32, 32, 8, group=32)) == {"mac_depthwise"}
    assert float_work(Layer("fc", LINEAR, (10, 20), (2, 20), (2, 10))) == {"node": 1, "mac_linear": 400}
    assert float_work(conv(64, 32, 8, stride=2)) == {
        "node": 1, "mac_window": 16 * 32 * 64 * 9, "element": 64 * 64 + 16 * 32, "weight": 64 * 32 * 9,
    }  # fmt: skip


def test_weights_are_read_even_where_another_layer_stores_them():
    layer = conv(64, 64, 8)
    assert float_work(replace(layer, shares_weights=True)) == float_work(layer)


def test_additions_cost_nothing_beside_float_convolutions_and_reshapes_nowhere():
    assert elements_moved(DataOp("Add", 30), beside_float=False) == 30
    assert elements_moved(DataOp("Add", 30), beside_float=True) == 0
    assert elements_moved(DataOp("Reshape", 30), beside_float=False) == 0
    assert elements_moved(DataOp("MaxPool", None), beside_float=True) is None
