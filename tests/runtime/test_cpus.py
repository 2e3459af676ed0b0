"""PACONV_CPU forces a CPU's kernels; those of every CPU that this machine runs gives the same bits."""

import numpy as np
import pytest

import paconv
from paconv.kernels.cpus import CPUS
from paconv.kernels.registry import CHOICES
from paconv.reference import pa_bit_conv
from paconv.runtime.library import runnable_cpus
from tests.bit_conv_cases import exact_output, kernel_tolerance, make_case, model_of

CASE = make_case(np.random.default_rng(0))
SPECIAL = {
    "folded words": dict(channels=12, group=2, out=17, kernel=(3, 3), dilations=(1, 2), offsets=True),
    "a strided 1x1 window": dict(channels=37, out=5, kernel=(1, 1), pads=(0, 0, 0, 0), strides=(2, 3), size=(11, 23)),
    "more words than a byte counts": dict(channels=32 * 13, out=16, size=(5, 5)),
}


@pytest.mark.parametrize("which", SPECIAL)
def test_every_cpus_kernels_give_the_same_bits_off_any_grid_for(monkeypatch, which):
    case = make_case(np.random.default_rng(1), M=2, N=3, **SPECIAL[which])
    expected, results = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs), set()
    for cpu in runnable_cpus():
        monkeypatch.setenv("PACONV_CPU", cpu)
        model = model_of(case).SerializeToString()
        Y = paconv.InferenceSession(model, kernel="planes").run(None, {"X": case.X})[0]
        assert (np.abs(Y - expected.Y) <= kernel_tolerance(case, expected)).all()
        results.add(Y.tobytes())
    assert len(results) == 1


@pytest.mark.parametrize("kernel", CHOICES)
@pytest.mark.parametrize("grid", [(15, 0, 31), (127, -127, 127)])
@pytest.mark.parametrize("which", SPECIAL)
def test_every_cpus_kernels_give_the_bits_of_the_integers_for(monkeypatch, which, grid, kernel):
    case = make_case(np.random.default_rng(1), M=2, N=3, grid=grid, **SPECIAL[which])
    for cpu in runnable_cpus():
        monkeypatch.setenv("PACONV_CPU", cpu)
        model = model_of(case).SerializeToString()
        Y = paconv.InferenceSession(model, kernel=kernel).run(None, {"X": case.X})[0]
        assert Y.tobytes() == exact_output(case).tobytes(), cpu


@pytest.mark.parametrize("cpu", ["pentium", next(cpu.name for cpu in CPUS if cpu.name not in runnable_cpus())])
def test_a_cpu_that_this_one_does_not_run_is_refused_with_those_it_runs(monkeypatch, cpu):
    monkeypatch.setenv("PACONV_CPU", cpu)
    with pytest.raises(
        Exception, match=f"PACONV_CPU={cpu}: expected a CPU whose kernels this machine runs: {runnable_cpus()[0]}"
    ):
        paconv.InferenceSession(model_of(CASE).SerializeToString())


def test_an_empty_choice_means_the_highest_cpu(monkeypatch):
    monkeypatch.setenv("PACONV_CPU", "")
    assert paconv.InferenceSession(model_of(CASE).SerializeToString()).run(None, {"X": CASE.X})
