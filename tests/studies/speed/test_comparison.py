"""The whole comparison on a network and a layer that take no time: everything that it says is there."""

import json

import pytest

from paconv.bench.int8_form import REDUCED, U8S8, Advice, int8_advice
from paconv.cost.host.probe import conv
from paconv.errors import UsageError
from paconv.kernels.registry import CHOICES
from paconv.studies.speed import comparison
from paconv.studies.speed.comparison import Options, compare_all
from paconv.studies.speed.int8_layer import integer_layer
from paconv.studies.speed.layers import time_layer
from paconv.studies.speed.measured import FLOAT, INT8, PA, SIGNS
from paconv.studies.speed.report import report_text

pytestmark = pytest.mark.slow

LAYER = conv(8, 16, 5)


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def result(told):
    options = Options(
        networks={"digits_resnet": (1, 8, 8)}, layers=[LAYER], planes=[(1, 1), (4, 5)], threads=[1],
        layer_seconds=0.01, network_seconds=0.01,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "PEAK_SECONDS", 0.05)
        return compare_all(options, lambda what, done: told.append((what, done)))


def test_every_way_to_compute_a_layer_is_timed(result):
    found = [(m.what, m.planes, m.levels, m.kernel) for m in result.layers]
    pairs = [((1, 1), ""), ((4, 5), ""), ((1, 1), SIGNS)]
    assert found[:2] == [(FLOAT, None, "", ""), (INT8, None, "", "")]
    assert found[2:] == [(PA, *pair, kernel) for pair in pairs for kernel in CHOICES]
    assert all(m.macs == LAYER.macs and m.macs_per_second == LAYER.macs / m.timing.best for m in result.layers)
    for pair in pairs:
        assert sum(m.chosen for m in result.layers if (m.planes, m.levels) == pair) == 1


def test_every_form_of_a_network_is_timed_and_its_files_counted(result):
    found = [(m.subject, m.what, m.planes, m.kernel) for m in result.networks]
    assert found == [
        ("digits_resnet", FLOAT, None, ""), ("digits_resnet", INT8, None, ""),
        *(("digits_resnet", PA, pair, "auto") for pair in ((1, 1), (4, 5))),
    ]  # fmt: skip
    whole = [m for m in result.networks if m.kernel == "auto"]
    assert all(m.nodes_best > 0 and sum(count for _, count in m.ran) == 8 for m in whole)
    assert [(b.planes, b.optimize_seconds is None) for b in result.builds] == [((1, 1), True), ((4, 5), False)]
    assert all(b.size > b.accounted > 0 for b in result.builds)


def test_the_8_bit_opponent_has_the_form_for_this_cpu_and_its_error_against_float(result):
    advice = int8_advice()
    assert result.int8 == advice
    for m in (*result.layers, *result.networks):
        if m.what == INT8:
            assert m.form == advice.form.name and 0 < m.error.relative < 1
            assert (m.u8s8_error is not None) == advice.saturates
        else:
            assert (m.form, m.error, m.u8s8_error) == ("", None, None)


@pytest.mark.parametrize("form", [U8S8, REDUCED])
def test_where_u8s8_saturates_its_error_is_measured_beside_the_advised_forms(form):
    """By an advice that is given, whatever this CPU is."""
    told = [m for m in time_layer(LAYER, [], [1], 0.01, Advice(form, "a CPU", saturates=True)) if m.what == INT8]
    (m,) = told
    assert m.form == form.name and m.error is not None
    assert m.u8s8_error == integer_layer(LAYER, U8S8).error


def test_serving_was_measured_in_fresh_processes(result):
    assert [(s.what, s.planes) for s in result.served] == [(FLOAT, None), (INT8, None), (PA, (4, 5))]
    assert all(s.peak_bytes >= s.before_bytes > 0 and s.create_seconds > 0 for s in result.served)


def test_progress_goes_from_nothing_to_all(result, told):
    done = [d for _, d in told]
    assert done == sorted(done) and done[-1] == 1.0 and told[-1][0] == "done"


def test_the_result_is_plain_data_and_makes_a_report(result):
    json.dumps(result.as_data())
    assert "Larq Compute Engine: not installed" in report_text(result)


def test_bad_options_are_refused():
    with pytest.raises(UsageError, match="threads"):
        compare_all(Options(threads=[0]))
    with pytest.raises(UsageError, match="seconds"):
        compare_all(Options(network_seconds=0))
    with pytest.raises(UsageError, match="planes"):
        compare_all(Options(networks={"digits_resnet": (1, 8, 8)}, layers=[], planes=[(0, 1)]))
