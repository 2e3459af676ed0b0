"""Table 8: latency with symbols and with numbers."""

from __future__ import annotations

import pytest

from paconv.cost import under_scheme
from paconv.cost.latency import (
    Delay,
    full_precision,
    layer_delay,
    network_delay,
    single_bit,
    speedup_limit,
    with_planes,
)
from paconv.cost.latency_report import latency_data, latency_table
from paconv.studies.paper.resnet import resnet

TIMES = {"AND": 9.62, "XNOR": 10.87, "pop": 60, "mul": 300, "add": 150, "com": 40}


def test_the_three_formulas_of_table_8():
    assert str(single_bit(576)) == "576 T_XNOR + 576 T_pop + T_mul"
    assert str(with_planes(576, 5)) == "576 T_AND + 576 T_pop + 5 T_mul + 4 T_add + T_com"
    assert str(full_precision(576)) == "576 T_mul + 575 T_add"


def test_pa_with_one_plane_is_bireal_with_and_for_xnor_and_one_comparison():
    assert str(with_planes(9, 1)) == "9 T_AND + 9 T_pop + T_mul + T_com"
    assert str(single_bit(9)) == "9 T_XNOR + 9 T_pop + T_mul"


def test_numbers_go_in_one_by_one():
    delay = with_planes(576, 5)
    assert str(delay.at({"AND": 9.62})) == "5,541.12 + 576 T_pop + 5 T_mul + 4 T_add + T_com"
    assert delay.at({"AND": 9.62}).value is None
    assert delay.at(TIMES).value == pytest.approx(576 * 69.62 + 5 * 300 + 4 * 150 + 40, rel=1e-15)


def test_the_speedup_for_large_n_is_the_limit_of_the_formulas():
    n = 10**9
    for gate, delay in (("AND", with_planes(n, 5)), ("XNOR", single_bit(n))):
        ratio = full_precision(n).at(TIMES).value / delay.at(TIMES).value
        # The terms that don't grow with n are below 3000 / (n 69.62) of the whole.
        assert speedup_limit(gate, TIMES) == pytest.approx(ratio, rel=1e-7)
    assert speedup_limit("AND", {}) == "(T_mul + T_add) / (T_AND + T_pop)"
    assert speedup_limit("XNOR", {"XNOR": 10.87}) == "(T_mul + T_add) / (10.87 + T_pop)"


def test_each_layer_takes_the_time_of_its_scheme():
    def texts(scheme: str) -> dict[str, str]:
        return {layer.name: str(layer_delay(layer)) for layer in under_scheme(resnet(18), scheme)}

    pa, bireal, abc = texts("pa"), texts("bireal"), texts("abc")
    assert pa["conv1"] == bireal["conv1"] == "147 T_mul + 146 T_add"
    assert pa["fc"] == "512 T_mul + 511 T_add"
    assert pa["conv1.bn"] == "0"
    assert pa["layer2.0.downsample.0"] == "64 T_AND + 64 T_pop + 5 T_mul + 4 T_add + T_com"
    assert bireal["layer2.0.downsample.0"] == "64 T_mul + 63 T_add"
    assert bireal["layer2.0.conv1"] == "576 T_XNOR + 576 T_pop + T_mul"
    assert abc["layer2.0.conv1"] == "576 T_XNOR + 576 T_pop + 5 T_mul + 4 T_add + T_com"


def test_weights_only_pa_takes_full_precision_s_time():
    weights_only = under_scheme(resnet(18), "pa", 4, full_activations=True)
    assert network_delay(weights_only) == network_delay(resnet(18))


def test_a_network_takes_the_sum_of_its_layers():
    network = under_scheme(resnet(18), "pa")
    layers = [layer_delay(layer).at(TIMES).value for layer in network]
    assert network_delay(network).at(TIMES).value == pytest.approx(sum(layers), rel=1e-12)
    assert str(network_delay(network)).endswith("19 T_com")


def test_no_time_at_all_is_zero():
    assert str(Delay({})) == "0" and Delay({}).value == 0


def test_the_report_has_all_three_ways_for_each_layer_of_any_network():
    for network, last in (
        (resnet(18), "pa:4,5"),
        (under_scheme(resnet(18), "pa", 8, 7), "pa:8,7"),
        (under_scheme(resnet(18), "abc"), "abc:5,5"),
    ):
        data = latency_data(network, TIMES, "net")
        assert set(data["totals"]) == {"full precision", "bireal", last}
        assert len(data["layers"]) == 21
        assert data["totals"][last]["value"] < data["totals"]["full precision"]["value"]
        assert [c.title for c in latency_table(network, {}, "net").columns[2:]] == list(data["totals"])


def test_symbols_have_formulas_and_no_values():
    total = latency_data(resnet(18), {"AND": 9.62}, "net")["totals"]["pa:4,5"]
    assert total["value"] is None
    assert total["formula"].startswith("30,976 T_AND + 30,976 T_pop")
