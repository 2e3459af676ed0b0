"""Predictions of layers and networks, who wins, and the comparison with measurements."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paconv.cost import under_scheme
from paconv.cost.host.comparison import compare, comparison_data, comparison_table
from paconv.cost.host.fit import seconds
from paconv.cost.host.kernels import (
    BIT_PLANES,
    FLOAT,
    LEVEL_CODES,
    fastest_seconds,
    network_seconds,
    own_kernel,
    planes_of,
)
from paconv.cost.host.report import host_data, host_table
from paconv.cost.host.work import bit_work, code_work, float_work
from paconv.errors import UsageError
from paconv.network.layers import BATCH_NORM, CONV_TRANSPOSE, DataOp, Layer, Network
from paconv.reporting.tables import plain
from paconv.studies.paper.resnet import resnet
from tests.cost.host import synthetic
from tests.cost.host.synthetic import conv

HOST = synthetic.host((1, 1), (4, 5), (8, 7))


def test_a_layer_takes_its_work_at_the_rates_of_its_planes():
    layer = conv(64, 64, 56, planes=(4, 5))
    rates = {**synthetic.GATHER, **synthetic.plane_rates(4, 5)}
    assert BIT_PLANES.predict(HOST, layer) == seconds(bit_work(layer, 4, 5), rates)
    assert LEVEL_CODES.predict(HOST, layer) == seconds(code_work(layer, 5), synthetic.CODES)
    assert FLOAT.predict(HOST, layer) == seconds(float_work(layer), synthetic.REAL)


@pytest.mark.parametrize("kernel", [BIT_PLANES, LEVEL_CODES])
def test_a_layer_without_activation_planes_is_predicted_on_float_only(kernel):
    for layer in (conv(64, 64, 8), conv(64, 64, 8, planes=(4, None))):
        assert kernel.predict(HOST, layer) is None and own_kernel(HOST, layer) is FLOAT


def test_a_quantized_layer_runs_on_the_faster_of_its_kernels():
    few, many = conv(64, 64, 56, planes=(1, 1)), conv(64, 64, 56, planes=(8, 7))
    assert own_kernel(HOST, few) is BIT_PLANES
    assert LEVEL_CODES.predict(HOST, many) < BIT_PLANES.predict(HOST, many)
    assert own_kernel(HOST, many) is LEVEL_CODES
    slow = replace(HOST, codes={**HOST.codes, "product": 1.0})
    assert own_kernel(slow, many) is BIT_PLANES
    for host in (HOST, slow):
        own = min(BIT_PLANES.predict(host, many), LEVEL_CODES.predict(host, many))
        assert network_seconds(host, Network((many,)))[0] == own


def test_a_network_is_the_sum_of_its_layers_and_of_the_data_it_moves():
    net = Network(
        (conv(3, 64, 32), conv(64, 64, 16, planes=(4, 5), name="b"), Layer("bn", BATCH_NORM, (64,))),
        data_ops=(DataOp("Add", 1000), DataOp("Reshape", 1000)),
    )
    own = min(BIT_PLANES.predict(HOST, net.layers[1]), LEVEL_CODES.predict(HOST, net.layers[1]))
    expected = FLOAT.predict(HOST, net.layers[0]) + own + 1000 * HOST.element
    assert network_seconds(HOST, net) == (pytest.approx(expected), [])
    real = under_scheme(net, "float")
    assert network_seconds(HOST, real)[0] == pytest.approx(sum(FLOAT.predict(HOST, la) for la in real.layers[:2]))


def test_what_is_not_modelled_is_named_and_not_counted_as_0():
    up = Layer("up", CONV_TRANSPOSE, (4, 4, 2, 2), (1, 4, 8, 8), (1, 4, 16, 16))
    net = Network((conv(64, 64, 16), up), data_ops=(DataOp("MaxPool", None),))
    assert network_seconds(HOST, net)[1] == ["up", "MaxPool"]
    assert "not predicted, and not in the totals: up, MaxPool" in plain(host_table(HOST, net, "net"))
    assert host_data(HOST, net, "net")["not_predicted"] == ["up", "MaxPool"]


def test_the_faster_kernel_wins_layer_by_layer():
    few, many = (under_scheme(resnet(18), "pa", *planes) for planes in ((4, 5), (8, 7)))
    for net in (few, many):
        rows = [row for row in host_data(HOST, net, "net")["layers"] if row["bit_planes"] is not None]
        assert len(rows) == 19
        times = [{name: row[name] for name in ("float", "bit_planes", "level_codes")} for row in rows]
        assert all(found[row["fastest"]] == min(found.values()) for row, found in zip(rows, times, strict=True))
        assert all(row[row["runs_on"]] == min(row["bit_planes"], row["level_codes"]) for row in rows)
    totals = host_data(HOST, many, "net")["totals"]
    assert totals["fastest"] <= min(totals["float"], totals["as_it_is"])
    assert fastest_seconds(HOST, under_scheme(many, "float")) == pytest.approx(totals["float"])


def test_schemes_whose_kernels_are_not_modelled_are_refused():
    with pytest.raises(UsageError, match="schemes pa and float; found bireal"):
        planes_of(under_scheme(resnet(18), "bireal"))


def test_the_table_says_that_its_figures_are_predicted_and_how_good_the_fit_is():
    table = host_table(HOST, under_scheme(resnet(18), "pa", 4, 5), "net")
    text = plain(table)
    for part in ("predicted, not measured", "bit planes", "level codes", "Synthetic 1", "bit planes 4.0%",
                 "level codes 3.0%", "float tensors in NCHW", "QLinearConv", "1.00x"):  # fmt: skip
        assert part in " ".join([text, *table.definitions])
    assert "--scheme pa" in plain(host_table(HOST, resnet(18), "net"))
    assert max(map(len, text.split("\n\npredicted: ")[0].splitlines())) <= 120


def test_a_comparison_measures_equal_layers_once_and_shows_each():
    net = under_scheme(resnet(18), "pa", 4, 5)
    asked: list[int] = []

    def slower(probes, budget):
        asked.append(len(probes))
        return [1.25 * time for time in synthetic.stopwatch(probes, budget)]

    compared = compare(HOST, net, slower, whole=lambda budget: 2 * network_seconds(HOST, net)[0])
    # Float: stem, 3x3 of 4 widths, 3 with stride, 3 downsamples, classifier; the others: the same but for the two ends.
    assert asked == [12 + 10 + 10]
    assert len(compared.layers) == 21
    assert compared.median_error("float") == pytest.approx(0.2)
    assert compared.median_error("bit_planes") == pytest.approx(0.2)
    assert compared.median_error("level_codes") == pytest.approx(0.2)
    assert compared.network is not None and compared.network.error == pytest.approx(-0.5)
    text = plain(comparison_table(HOST, compared, "net"))
    assert "median error of bit planes over 19 layers: 20.0%" in text and "(-50.0%)" in text
    assert comparison_data(HOST, compared, "net")["layers"][0]["float"]["error"] == pytest.approx(-0.2)


def test_a_model_that_cannot_be_run_as_it_is_has_no_network_time():
    compared = compare(HOST, Network((conv(64, 64, 8),)), synthetic.stopwatch)
    assert compared.network is None
    assert "whole network: not measured" in plain(comparison_table(HOST, compared, "net"))


def test_different_planes_are_different_cases_but_for_float():
    layers = (conv(64, 64, 8, planes=(8, 7), name="a"), conv(64, 64, 8, planes=(4, 5), name="b"))
    asked: list[str | None] = []

    def watch(probes, budget):
        asked.extend(kernel for _, kernel in probes)
        return synthetic.stopwatch(probes, budget)

    compare(HOST, Network((*layers, replace(layers[0], name="c"))), watch)
    assert sorted(map(str, asked)) == ["None", "codes", "codes", "planes", "planes"]
