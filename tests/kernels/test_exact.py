"""On a grid every kernel gives the integers' own bits: planes, each kind of codes, on any CPU and thread count.

Off any grid, planes give the same bits on every CPU, within the bound that kernels/planes/scale.py derives.
"""

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import paconv
from paconv.kernels.arguments import MAX_EXACT_FLOAT
from paconv.kernels.registry import CHOICES
from paconv.reference import finish_level_conv, pa_bit_conv
from paconv.runtime.library import runnable_cpus
from tests.bit_conv_cases import GRIDS, cases, exact_output, grid_of, kernel_tolerance, make_case, model_of, window_of
from tests.effort import examples
from tests.kernels.linked import cpu_kinds
from tests.kernels.whole_conv import output_of
from tests.level_conv_cases import level_cases, level_model

LEAST_SPAN, LOW_ZERO = 4, 128
"""Words of two pairs that sums of 16 bits must hold; what makes signed levels unsigned bytes."""

PER_LEVEL = dict(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


def session(model, kernel: str, threads: int = 1):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return paconv.InferenceSession(model.SerializeToString(), options, kernel=kernel)


def exact_kernels(case) -> list[str]:
    """Codes; and planes where no sum of theirs can leave float32's integers."""
    few = grid_of(case).terms * window_of(case) < MAX_EXACT_FLOAT
    return list(CHOICES) if few else ["codes"]


def holds(case, kind: str) -> bool:
    """Whether products of this kind hold the case's, as the shim asks (kernels/native/choice.c)."""
    if kind == "planes":
        return "planes" in exact_kernels(case)
    grid = grid_of(case)
    byte = grid.largest + (LOW_ZERO if grid.least < 0 else 0)
    return kind != "narrow" or 2 * LEAST_SPAN * grid.most_weight * byte <= np.iinfo(np.int16).max


@settings(max_examples=examples(60), **PER_LEVEL)
@given(case=cases(grids=GRIDS), threads=st.sampled_from([1, 2, 3]))
def test_every_kernel_gives_the_bits_of_the_integers_on_every_cpu(monkeypatch, case, threads):
    expected = exact_output(case)
    for cpu in runnable_cpus():
        monkeypatch.setenv("PACONV_CPU", cpu)
        for kernel in exact_kernels(case):
            (Y,) = session(model_of(case), kernel, threads).run(None, {"X": case.X})
            assert Y.tobytes() == expected.tobytes(), (cpu, kernel)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("M", "N"), [(1, 1), (2, 2), (4, 5), (8, 7), (8, 8), (3, 6), (7, 1)])
def test_every_kind_of_products_gives_the_bits_of_the_integers(M, N, grid):
    rng = np.random.default_rng(10 * M + N)
    case = make_case(rng, M=M, N=N, channels=37, out=33, size=(5, 7), offsets=bool(M % 2), special=True, grid=grid)
    expected, done = exact_output(case), 0
    for cpu, kind in [*cpu_kinds(), *((cpu, "planes") for cpu in runnable_cpus())]:
        if holds(case, kind):
            assert output_of(case, cpu, kind).tobytes() == expected.tobytes(), (cpu, kind)
            done += 1
    assert done >= len(cpu_kinds())


@settings(max_examples=examples(40), **PER_LEVEL)
@given(case=cases(grids=GRIDS))
def test_every_kind_of_products_gives_the_bits_of_the_integers_for_any_shape(case):
    expected = exact_output(case)
    for cpu, kind in cpu_kinds():
        if holds(case, kind):
            assert output_of(case, cpu, kind).tobytes() == expected.tobytes(), (cpu, kind)


@settings(max_examples=examples(40), **PER_LEVEL)
@given(level_case=level_cases(grids=GRIDS), threads=st.sampled_from([1, 2, 3]))
def test_a_convolution_of_levels_finishes_the_integers_on_every_cpu(monkeypatch, level_case, threads):
    S = np.ascontiguousarray(exact_output(level_case.case).transpose(0, 2, 3, 1))
    expected = finish_level_conv(S, level_case.residual, level_case.finish)
    for cpu in runnable_cpus():
        monkeypatch.setenv("PACONV_CPU", cpu)
        for kernel in exact_kernels(level_case.case):
            run = session(level_model(level_case), kernel, threads).run
            found = run(None, {"L": level_case.L, "R": level_case.residual})
            for name, array in zip(level_case.wanted, found, strict=True):
                assert (array == expected[name]).all(), (cpu, kernel, name)


@settings(max_examples=examples(30), **PER_LEVEL)
@given(case=cases(), threads=st.sampled_from([1, 2, 3]))
def test_off_any_grid_planes_run_with_the_same_bits_on_every_cpu(monkeypatch, case, threads):
    reference, results = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs), set()
    for cpu in runnable_cpus():
        monkeypatch.setenv("PACONV_CPU", cpu)
        (counts,) = session(model_of(case, counts=True), "planes", threads).run(None, {"X": case.X})
        assert (counts == reference.counts).all()
        for kernel in CHOICES:
            (Y,) = session(model_of(case), kernel, threads).run(None, {"X": case.X})
            if grid_of(case) is None:
                results.add(Y.tobytes())
            assert (np.abs(Y - reference.Y) <= kernel_tolerance(case, reference)).all()
    assert len(results) <= 1
