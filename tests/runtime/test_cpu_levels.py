"""PACONV_CPU forces a level; every level that this machine runs gives the same bits, within the reference's bound."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import paconv
from paconv.kernels.levels import LEVELS
from paconv.kernels.registry import CHOICES
from paconv.reference import pa_bit_conv
from paconv.runtime.library import cpu_levels
from tests.bit_conv_cases import cases, kernel_tolerance, make_case, model_of
from tests.effort import examples

CASE = make_case(np.random.default_rng(0))
SPECIAL = {
    "folded words": dict(channels=12, group=2, out=17, kernel=(3, 3), dilations=(1, 2), offsets=True),
    "a strided 1x1 window": dict(channels=37, out=5, kernel=(1, 1), pads=(0, 0, 0, 0), strides=(2, 3), size=(11, 23)),
    "more words than a byte counts": dict(channels=32 * 13, out=16, size=(5, 5)),
}


@settings(
    max_examples=examples(40),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(case=cases())
def test_every_level_agrees_with_the_reference_and_with_the_others_bit_for_bit(monkeypatch, case):
    expected = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs)
    results = {kernel: set() for kernel in CHOICES}
    for level in cpu_levels():
        monkeypatch.setenv("PACONV_CPU", level)
        counts = paconv.InferenceSession(model_of(case, counts=True).SerializeToString()).run(None, {"X": case.X})[0]
        assert (counts == expected.counts).all()
        for kernel in CHOICES:
            Y = paconv.InferenceSession(model_of(case).SerializeToString(), kernel=kernel).run(None, {"X": case.X})[0]
            assert (np.abs(Y - expected.Y) <= kernel_tolerance(case, expected, kernel)).all()
            results[kernel].add(Y.tobytes())
    assert all(len(bits) == 1 for bits in results.values())


@pytest.mark.parametrize("which", SPECIAL)
def test_every_level_gives_the_same_bits_for(monkeypatch, which):
    case = make_case(np.random.default_rng(1), M=2, N=3, **SPECIAL[which])
    expected, results = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs), set()
    for level in cpu_levels():
        monkeypatch.setenv("PACONV_CPU", level)
        model = model_of(case).SerializeToString()
        Y = paconv.InferenceSession(model, kernel="planes").run(None, {"X": case.X})[0]
        assert (np.abs(Y - expected.Y) <= kernel_tolerance(case, expected)).all()
        results.add(Y.tobytes())
    assert len(results) == 1


@pytest.mark.parametrize("level", ["pentium", next(level.name for level in LEVELS if level.name not in cpu_levels())])
def test_a_level_that_this_cpu_does_not_run_is_refused_with_those_it_runs(monkeypatch, level):
    monkeypatch.setenv("PACONV_CPU", level)
    with pytest.raises(Exception, match=f"PACONV_CPU={level}: expected a level that this CPU runs: {cpu_levels()[0]}"):
        paconv.InferenceSession(model_of(CASE).SerializeToString())


def test_an_empty_choice_means_the_highest_level(monkeypatch):
    monkeypatch.setenv("PACONV_CPU", "")
    assert paconv.InferenceSession(model_of(CASE).SerializeToString()).run(None, {"X": CASE.X})
