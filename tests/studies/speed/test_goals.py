"""Targets beside a comparison whose times are given: values, verdicts and what limits them come from the numbers."""

import pytest

from paconv.studies.speed.goals import Row, cpu_kind, goals
from tests.studies.speed.synthetic import ENVIRONMENT, PEAKS, comparison


def row(run, start: str, target: str = "") -> Row:
    return next(r for r in goals(run) if r.what.startswith(start) and target in r.target)


def test_a_target_is_reached_from_its_bound_on_and_missed_by_a_share_of_it():
    assert Row("", "", 2.0, 2.0, "").verdict == "reached"
    assert Row("", "", 2.0, 1.5, "").verdict == "missed by 25%"
    assert Row("", "", 2.0, 1.999, "").verdict == "missed by 0.05%"
    assert Row("", "", 2.0, 2.0, "", at_most=True).verdict == "reached"
    assert Row("", "", 2.0, 3.0, "", at_most=True).verdict == "missed by 50%"
    assert Row("", "", 2.0, None, "").verdict == "not measured"


@pytest.mark.parametrize(
    ("start", "target", "value", "reached"),
    [
        ("bit-plane kernel (1,1)", "", 0.9, True),
        ("bit-plane kernel (4,5)", "", 0.8, False),
        ("bit-plane kernel (3,3)", "", None, None),
        ("PABitConv (1,1)", "", 8.0, True),
        ("the same with levels -1 and +1", "", 4.0, False),
        ("PABitConv (2,2)", "", None, None),
        ("PABitConv (4,5) and (8,7)", "0.9x int8", 0.5, False),
        ("PA-resnet18 (4,5)", "3.2x float", 2.0, False),
        ("PA-resnet18 (4,5)", "1x int8", 0.8, False),
        ("PA-resnet18 (8,7)", "float", None, None),
        ("single-binary", "float", 5.0, True),
        ("single-binary", "Larq", 25.0, True),
        ("whole PA networks on two threads", "", 1.5, False),
        ("pa.onnx over", "", 1.03, True),
        ("optimize ResNet50", "", 20.0, False),
        ("opening PA-ResNet50", "", 1.0, True),
        ("peak memory", "", 0.5, True),
    ],
)
def test_every_target_is_computed_from_the_measurements(start, target, value, reached):
    found = row(comparison(), start, target)
    assert found.value == (value if value is None else pytest.approx(value))
    assert found.reached is reached


def test_a_missed_target_says_what_the_measurements_say_of_it():
    why = row(comparison(), "the same with levels").limits
    # The inner loop runs at 0.9e12 MAC/s and the layer has 115.6e6: 0.128 ms of 2 ms, and 8 ms of float beside it.
    assert "on planes" in why and "the inner loop takes 6% of the node's time, alone it would be 62.28x" in why
    assert "its instructions allow 69.20x" in why and "341 MAC a cycle, float 32" in why
    nodes = "PABitConv nodes alone take 1.00 ms, all the rest 3.00 ms: 6.67x"
    assert nodes in row(comparison(), "single-binary").limits
    assert "as if 33% of its time ran on one thread" in row(comparison(), "whole PA networks").limits


def test_without_a_measured_peak_the_kernels_share_is_not_measured():
    peaks = type(PEAKS)(PEAKS.cpu, {}, PEAKS.planes, PEAKS.codes)
    found = row(comparison(peaks=peaks), "bit-plane kernel (1,1)")
    assert (found.value, found.verdict) == (None, "not measured") and "900 GMAC/s" in found.measured


@pytest.mark.parametrize(
    ("instructions", "kind", "bounds"),
    [
        (["avx2", "avx512_vnni", "amx_int8"], "AMX", [">= 1x int8 on AMX"]),
        (["avx2", "avx512_vnni"], "VNNI", [">= 3.2x float on VNNI", ">= 1x int8 on VNNI"]),
        (["avx2"], "AVX2", [">= 2.2x float on AVX2", ">= 1.2x int8 on AVX2"]),
    ],
)
def test_each_kind_of_cpu_has_its_own_bounds(instructions, kind, bounds):
    run = comparison(environment=ENVIRONMENT | {"instructions": instructions})
    assert cpu_kind(run) == kind
    assert [r.target for r in goals(run) if r.what == "PA-resnet18 (4,5)"] == bounds


def test_what_was_not_run_is_not_measured():
    run = comparison(layers=[], networks=[], builds=[], served=[], single_binary="", larq="not installed")
    rows = [r for r in goals(run) if not r.what.startswith("bit-plane")]
    assert all(r.value is None and r.reached is None for r in rows)
    assert "not installed" in row(run, "single-binary", "Larq").limits
