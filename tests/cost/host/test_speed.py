"""A network's predicted time beside float's: the quotient, the layers that lose, why, and what would help."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from paconv.cost import under_scheme
from paconv.cost.host.kernels import FLOAT, network_seconds, own_kernel
from paconv.cost.host.speed import SlowLayer, Speed, speed_of
from paconv.network.layers import DataOp, Network
from paconv.studies.paper.resnet import resnet
from tests.cost.host import synthetic
from tests.cost.host.synthetic import conv

HOST = synthetic.host((1, 1), (4, 5), (8, 7))


def speed(seconds: float, real: float, slower: tuple[SlowLayer, ...] = (), left: float | None = None) -> Speed:
    return Speed(seconds, real, slower, left, batch=1, threads=1)


def test_the_speed_is_float_time_over_the_networks_own():
    net = under_scheme(resnet(18), "pa", 8, 7)
    found = speed_of(HOST, net, "rates of a test")
    assert found.seconds == network_seconds(HOST, net)[0]
    assert found.float_seconds == network_seconds(HOST, under_scheme(net, "float"))[0]
    assert found.ratio == found.float_seconds / found.seconds
    assert str(found).splitlines()[0].endswith("(batch 1, 1 thread, rates of a test)")


@pytest.mark.parametrize(
    ("seconds", "real", "line"),
    [
        (3.1e-3, 9.8e-3, "predicted: 3.1 ms, float 9.8 ms: 3.2x faster (batch 1, 1 thread)"),
        (1e-5, 1.25e-5, "predicted: 10 µs, float 12.5 µs: 1.25x faster (batch 1, 1 thread)"),
        (1.2345, 1.2345, "predicted: 1.23 s, float 1.23 s: as fast (batch 1, 1 thread)"),
    ],
)
def test_the_speed_is_one_line(seconds, real, line):
    assert str(speed(seconds, real)) == line


def test_a_slower_network_without_slower_layers_is_slower_by_what_is_between_them():
    first, second = speed(2e-3, 1e-3).lines()
    assert first == "predicted: 2 ms, float 1 ms: 2.0x slower (batch 1, 1 thread)"
    assert second.startswith("slower than float, though no layer is: additions and activations")
    net = Network((conv(64, 64, 28, planes=(1, 1)),), data_ops=(DataOp("Add", 10**9),))
    assert speed_of(HOST, net).lines()[1] == second


def test_slower_layers_are_those_whose_kernel_takes_longer_than_float_the_worst_first():
    net = under_scheme(resnet(18), "pa", 4, 5)
    slow = replace(HOST, codes={**HOST.codes, "output": 1e-7})
    found = speed_of(slow, net)
    times = {la.name: (own_kernel(slow, la).predict(slow, la), FLOAT.predict(slow, la)) for la in net if la.planes}
    losses = {name: own - real for name, (own, real) in times.items() if own > 1.005 * real}
    assert [layer.name for layer in found.slower] == sorted(losses, key=losses.get, reverse=True)
    assert 3 < len(losses) < len(times)
    left = under_scheme(resnet(18), "pa", 4, 5, keep_real=tuple(losses))
    assert found.left_real == pytest.approx(network_seconds(slow, left)[0])
    assert found.left_real == pytest.approx(found.seconds - sum(losses.values()))


def test_the_worst_three_are_named_with_what_would_help_and_the_rest_counted():
    slower = tuple(
        SlowLayer(f"conv{k}", 4e-3 - k * 1e-4, 2e-3, cause)
        for k, cause in enumerate(("input", "channels", "input", "output", "start"))
    )
    first, second = speed(2e-2, 1e-2, slower, 8e-3).lines()
    assert first.startswith("predicted: 20 ms, float 10 ms: 2.0x slower")
    assert second == (
        "slower than float: conv0 (0.50x: comparing its input outweighs its products), conv1 (0.51x: its channels "
        "don't fill the lanes), conv2 (0.53x: comparing its input outweighs its products), and 2 more; left real "
        "(paconv.convert's keep, --keep-real of paconv cost) the network takes 8 ms, 1.25x faster; what may help too: "
        "more output channels or fewer levels (N); channels in multiples of 16 out and 4 in, per group"
    )
    assert "more;" not in speed(2e-2, 1e-2, slower[:3], 8e-3).lines()[1]


@pytest.mark.parametrize(
    ("layer", "rates", "cause"),
    [
        (conv(256, 16, 28, kernel=1, planes=(4, 5)), {"element": 1e-8}, "input"),
        (conv(16, 256, 28, kernel=1, planes=(4, 5)), {"output": 1e-7}, "output"),
        (conv(64, 64, 28, planes=(4, 5)), {"product": 1e-9}, "products"),
        (conv(64, 64, 1, planes=(4, 5)), {"node": 1e-3}, "start"),
        (conv(64, 20, 28, planes=(4, 5)), {"product": 1e-9}, "channels"),
        (conv(6, 64, 28, planes=(4, 5)), {"product": 1e-9}, "channels"),
    ],
)
def test_the_cause_is_what_most_of_the_time_goes_into(layer, rates, cause):
    no_planes = {**HOST.gather, "node": 1.0}
    (slow,) = speed_of(replace(HOST, codes={**HOST.codes, **rates}, gather=no_planes), Network((layer,))).slower
    assert slow.cause == cause


def test_bit_planes_have_causes_too():
    codes = dict.fromkeys(HOST.codes, 1.0)
    for rates, cause in (({"word": 1e-8}, "products"), ({"output": 1e-6}, "output")):
        planes = {(8, 7): {**synthetic.plane_rates(8, 7), **rates}}
        host = replace(HOST, codes=codes, planes=planes)
        (slow,) = speed_of(host, Network((conv(64, 64, 28, planes=(8, 7)),))).slower
        assert slow.cause == cause


@pytest.mark.parametrize("N", [None, "float"])
def test_what_runs_in_float_is_as_fast_as_float(N):
    net = resnet(18) if N == "float" else under_scheme(resnet(18), "pa", 4, None, full_activations=True)
    found = speed_of(HOST, net)
    assert (found.ratio, found.slower, found.left_real) == (1, (), None)
    assert len(found.lines()) == 1 and "as fast" in str(found)


def test_the_data_are_the_facts_of_the_lines():
    slow = SlowLayer("conv", 2e-3, 1e-3, "output")
    data = json.loads(json.dumps(speed(2e-3, 1e-3, (slow,), 1e-3).as_data()))
    assert data == {
        "predicted": 2e-3, "float": 1e-3, "ratio": 0.5, "batch": 1, "threads": 1, "with_these_left_real": 1e-3,
        "slower_layers": [{
            "name": "conv", "seconds": 2e-3, "float_seconds": 1e-3, "cause": "output", "ratio": 0.5,
            "why": "scaling its output outweighs its products", "helps": ["leaving it real", "more input channels"],
        }],
    }  # fmt: skip
