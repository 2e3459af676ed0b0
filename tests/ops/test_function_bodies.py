"""The function bodies in stock onnxruntime, without the library, against the numpy reference."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paconv import ops
from paconv.reference import finish_level_conv, pa_activation, pa_bit_conv, pa_weight
from tests.bit_conv_cases import body_tolerance, cases, make_case, model_of, with_integer_levels
from tests.effort import examples
from tests.level_conv_cases import level_cases, level_model

OPTIMIZATIONS = [
    ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
]


def run_all(model, feeds, optimization=ort.GraphOptimizationLevel.ORT_ENABLE_ALL):
    options = ort.SessionOptions()
    options.graph_optimization_level = optimization
    return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"]).run(None, feeds)


def run_stock(model, feeds):
    return run_all(model, feeds)[0]


@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(case=cases())
def test_the_body_of_pa_bit_conv_agrees_with_the_reference(case):
    expected = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs)
    found = run_stock(model_of(case), {"X": case.X})
    assert found.shape == expected.Y.shape
    assert (np.abs(found - expected.Y) <= body_tolerance(case, expected)).all()


@settings(max_examples=examples(40), deadline=None, derandomize=True)
@given(case=cases(max_planes=4), seed=st.integers(0, 999), optimization=st.sampled_from(OPTIMIZATIONS))
def test_the_body_of_pa_bit_conv_gives_the_bits_of_the_reference_for_integer_levels(case, seed, optimization):
    case = with_integer_levels(case, np.random.default_rng(seed))
    expected = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs)
    assert np.array_equal(run_all(model_of(case), {"X": case.X}, optimization)[0], expected.exact)


@settings(max_examples=examples(40), deadline=None, derandomize=True)
@given(level_case=level_cases(), seed=st.integers(0, 999), optimization=st.sampled_from(OPTIMIZATIONS))
def test_the_body_of_pa_level_conv_gives_the_bits_of_the_reference_for_integer_levels(level_case, seed, optimization):
    case = with_integer_levels(level_case.case, np.random.default_rng(seed), 7, 15)
    S = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs).exact.transpose(0, 2, 3, 1)
    expected = finish_level_conv(S, level_case.residual, level_case.finish)
    model = level_model(replace(level_case, case=case))
    found = run_all(model, {"L": level_case.L, "R": level_case.residual}, optimization)
    for name, array in zip(level_case.wanted, found, strict=True):
        assert np.array_equal(array, expected[name])


@pytest.mark.parametrize("optimization", OPTIMIZATIONS)
def test_onnxruntime_folds_neither_scale_nor_bias_of_a_wide_convolution_into_its_weights(optimization):
    rng = np.random.default_rng(0)
    case = with_integer_levels(make_case(rng, channels=256, out=64, size=(14, 14)), rng)
    expected = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs)
    assert np.array_equal(run_all(model_of(case), {"X": case.X}, optimization)[0], expected.exact)


def test_a_model_of_pa_bit_conv_passes_the_full_checker():
    onnx.checker.check_model(model_of(make_case(np.random.default_rng(0))), full_check=True)


@pytest.mark.parametrize("opset", [13, 15, 18, 20])
def test_the_bodies_run_under_every_supported_opset(opset):
    case = make_case(np.random.default_rng(1))
    model = model_of(case)
    model.opset_import[0].version = opset
    ops.add_functions(model)
    expected = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs)
    assert (np.abs(run_stock(model, {"X": case.X}) - expected.Y) <= body_tolerance(case, expected)).all()


@pytest.mark.parametrize("op", ["PAWeight", "PAActivation"])
def test_the_exported_quantizers_agree_exactly_with_the_reference_on_endpoints_and_special_values(op):
    endpoints = np.array([-1.5, -0.5, 0.5, 1.5], np.float32)
    levels = np.array([-2, -0.75, 0, 0.8, 2.1], np.float32)
    beside = [np.nextafter(endpoints, np.float32(s * np.inf)) for s in (-1, 1)]
    x = np.concatenate([endpoints, *beside, np.float32([np.nan, np.inf, -np.inf, -0.0])]).astype(np.float32)
    schema = ops.SCHEMAS[op]
    names = [t.name for t in schema.inputs[:3]]
    graph = onnx.parser.parse_graph(
        f"g (float[n] {names[0]}, float[m] {names[1]}, float[k] {names[2]}) => (float[n] y) {{"
        f" y = paconv.{op} ({', '.join(names)}) }}"
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    ops.add_functions(model)
    found = run_stock(model, dict(zip(names, (x, endpoints, levels), strict=True)))
    reference = pa_weight if op == "PAWeight" else pa_activation
    assert found.tolist() == reference(x, endpoints, levels).tolist()
