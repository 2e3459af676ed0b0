"""The steps of a report alone, on small layers made for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from paconv.bits import one_hot_masks, pack_codes
from paconv.model_report import words
from paconv.model_report.advice import advice
from paconv.model_report.contents import Distribution, LayerPart, LevelShare, Side
from paconv.model_report.drawing import HEIGHT, MOST_MARKS, WIDTH, chart
from paconv.model_report.labels import labels
from paconv.model_report.packed import PackedConv
from paconv.model_report.parent import RealWeights
from paconv.model_report.real_weights import real_weights
from paconv.model_report.times import _summed


def packed(codes: np.ndarray, alpha=(0.0, -6.0, -2.0, 2.0, 5.0)) -> PackedConv:
    """A layer with codes (O, C, KH, KW) of the levels 0, alpha_1, ..."""
    alpha = np.atleast_2d(np.asarray(alpha, np.float32))
    M = alpha.shape[1] - 1
    attributes = {"weight_shape": list(codes.shape), "weight_masks": one_hot_masks(M)}
    return PackedConv(onnx.NodeProto(), attributes, {"W": pack_codes(codes, 3), "alpha": alpha})


def test_levels_are_counted_in_ascending_order_and_unused_ones_too():
    conv = packed(np.array([0, 1, 1, 4], np.uint8).reshape(2, 2, 1, 1))
    assert conv.table.tolist() == [[-6, -2, 0, 2, 5]]
    assert conv.shares.tolist() == [0.5, 0, 0.25, 0, 0.25]
    assert conv.weights.ravel().tolist() == [0, -6, -6, 5]


def test_channels_whose_weights_are_all_0_are_dead():
    codes = np.ones((5, 3, 1, 1), np.uint8)
    codes[[1, 4]] = 0
    codes[2, 0] = 0
    assert packed(codes).dead_channels == 2


def test_endpoints_are_found_between_weights_of_neighbouring_levels_whatever_scale_a_channel_has():
    rng = np.random.default_rng(0)
    conv = packed(rng.integers(0, 5, (6, 50, 3, 3)).astype(np.uint8))
    scale = rng.uniform(0.1, 2, 6)[:, None, None, None]
    W = (conv.weights * scale).astype(np.float32)
    shown, error = real_weights(conv, RealWeights(W))
    assert error == pytest.approx(0, abs=1e-12)  # float32 of W
    assert shown.endpoints == pytest.approx((-4, -1, 1, 3.5), abs=1e-4)
    assert sum(shown.counts) == W.size


def test_weights_that_no_endpoint_parts_have_none():
    rng = np.random.default_rng(0)
    conv = packed(rng.integers(0, 5, (2, 50, 3, 3)).astype(np.uint8))
    W = (conv.weights + rng.normal(0, 3, conv.weights.shape)).astype(np.float32)
    shown, error = real_weights(conv, RealWeights(W))
    assert shown.endpoints == () and shown.levels and 0.1 < error < 0.9


def test_a_reference_that_holds_the_levels_has_no_real_weights():
    conv = packed(np.arange(4, dtype=np.uint8).reshape(2, 2, 1, 1))
    levels = np.array([[-6, -2, 0, 2, 5]], np.float32)
    u = np.array([[-4, -1, 1, 3.5]], np.float32)
    assert real_weights(conv, RealWeights(conv.weights, u, levels)) == (None, None)


def events(*durations: tuple[str, int]) -> list[dict]:
    return [{"cat": "Node", "name": f"{node}_kernel_time", "dur": dur} for node, dur in durations]


def test_a_profile_gives_each_layer_its_fastest_call_less_the_profiles_own():
    told = events(("a", 110), ("a", 90), ("b:0_nchwc", 60), ("Relu", 50))
    times = _summed(told, {"a": "a", "b:0": "b"}, call=170e-6)
    assert times.layers == pytest.approx({"a": 80e-6, "b": 50e-6})
    assert times.rest == pytest.approx(40e-6) and times.total == pytest.approx(170e-6)


def test_a_network_too_small_for_the_profile_has_no_times_of_layers():
    assert _summed(events(("a", 5), ("b", 5)), {"a": "a"}, call=5e-6) is None


LAYER = LayerPart(
    id="layer-1", name="a", label="a", kind="codes", shape="", makes="", planes=(4, 5), macs=1, flops=1, bytes=1,
    float_bytes=1, predicted=10e-6, float_predicted=20e-6, measured=None, float_measured=None, by_measured=False,
    kernel="", kernel_reason="", folded=(), real_reason="", filling=1.0, filling_text="3 of 16", weights=None,
    activations=None,
    ours=True, output_error=None,
)  # fmt: skip


def titles(*layers: LayerPart, total: float = 100e-6) -> list[str]:
    return [found.title for found in advice(layers, total)]


def test_a_network_with_nothing_to_gain_gets_no_advice():
    assert titles(LAYER, replace(LAYER, planes=None, real_reason="It is first.")) == []


def test_what_saves_most_comes_first():
    slow = replace(LAYER, predicted=30e-6, float_predicted=10e-6)
    narrow = replace(LAYER, filling=0.5)
    found = advice([narrow, slow], 100e-6)
    assert [a.saves for a in found] == pytest.approx([20e-6, 5e-6])
    assert found[0].title.startswith("Leave real") and "20 % of all nodes' time" in found[0].text
    assert found[1].title.startswith("Choose widths") and "3 of 16" in found[1].text


def test_what_is_slower_by_less_than_noise_is_left_alone():
    assert titles(replace(LAYER, predicted=20.5e-6)) == []


def test_a_real_layer_that_takes_much_of_the_time_is_named_with_its_reason():
    real = replace(LAYER, planes=None, real_reason="It is first.", predicted=50e-6)
    (found,) = advice([real], 100e-6)
    assert "stays below 2.0" in found.text and found.text.endswith("It is first.")


def test_more_levels_are_advised_where_most_is_lost_and_say_what_they_cost():
    (found,) = advice([replace(LAYER, output_error=0.1), replace(LAYER, name="b", label="b", output_error=0.001)], None)
    assert found.layers == (("layer-1", "a"),)
    assert "M=6 stores 3 bits a weight, as now" in found.text and "10.0 dB" in found.text
    side = Side(tuple(LevelShare(str(k), 1 / 16) for k in range(16)), "", None, "")
    assert titles(replace(LAYER, output_error=0.1, planes=(4, 5), weights=side)) == []  # digits: it has levels enough


def test_levels_and_channels_that_nothing_uses_are_named():
    levels = tuple(LevelShare(str(k), 0.25 if k else 0.0) for k in range(5))
    side = Side(levels, "", None, "", dead_channels=3, channels=8)
    found = titles(replace(LAYER, weights=side))
    assert found == ["Take away levels that nothing uses", "Take away channels that say nothing"]
    digits = replace(LAYER, planes=(2, 5), weights=replace(side, levels=levels[:4]))
    assert titles(digits) == ["Take away channels that say nothing"]


def test_more_endpoints_than_can_be_seen_are_counted_in_words():
    places = tuple(np.linspace(0.1, 3.9, MOST_MARKS + 1).tolist())
    shares = tuple(LevelShare(f"{value:g}", 0.1) for value in places)
    drawn = chart(Distribution((10, 20), 0.0, 4.0, places, places, "activation", "v"), shares, "Activations of a")
    assert drawn.endpoints == drawn.levels == ()
    assert drawn.description.endswith("25 endpoints from 0.1 to 3.9. 25 levels from 0.1 to 3.9.")
    few = chart(Distribution((10, 20), 0.0, 4.0, places[1:], places[1:], "activation", "v"), shares[1:], "")
    assert len(few.endpoints) == len(few.levels) == MOST_MARKS


def test_a_bin_far_above_the_others_is_cut_off_and_labelled():
    shown = Distribution((1000, 10, 5, 0), 0.0, 4.0, (1.0, 1.05, 3.0), (0.5, 2.0), "activation", "v")
    drawn = chart(shown, (), "Activations of a")
    assert drawn.path == f"M0 {HEIGHT}V16h80V46h80V71h80V96h80V{HEIGHT}z"
    assert drawn.cut == "99 % in this bin"
    assert [mark.label for mark in drawn.endpoints] == ["v1", "", "v3"]  # v2 would lie on v1
    assert [mark.x for mark in drawn.levels] == [WIDTH / 8, WIDTH / 2]
    assert "Endpoints at 1, 1.05, 3." in drawn.description


def test_paths_of_the_exporter_are_shortened_where_no_two_become_alike():
    assert labels(["/a/a.0/a.0.1/Conv", "/b/c/Conv", "/d/Conv", "/d/Gemm", "e.conv", "/Conv"]) == {
        "/a/a.0/a.0.1/Conv": "a.0.1", "/b/c/Conv": "b/c", "/d/Conv": "/d/Conv", "/d/Gemm": "/d/Gemm",
        "e.conv": "e.conv", "/Conv": "Conv",
    }  # fmt: skip


@pytest.mark.parametrize(("value", "text"), [(0.0123, "12.3 ms"), (1.5e-6, "1.5 µs"), (2.0, "2 s"), (0.1234, "123 ms")])
def test_times_have_three_digits(value, text):
    assert words.seconds(value) == text


@pytest.mark.parametrize(("ratio", "text"), [(2.5, "2.5× faster"), (0.5, "2.0× slower"), (0.97, "as fast")])  # noqa: RUF001
def test_speeds_are_words(ratio, text):
    assert words.times_as(ratio) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0 %"), (0.0004, "under 0.1 %"), (0.016, "1.6 %"), (0.49, "49 %")])
def test_shares_say_whether_there_is_anything(value, text):
    assert words.percent(value) == text
