"""The function bodies in stock onnxruntime, without the library, against the numpy reference."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings

from paconv import ops
from paconv.reference import pa_activation, pa_bit_conv, pa_weight
from tests.bit_conv_cases import body_tolerance, cases, make_case, model_of
from tests.effort import examples


def run_stock(model, feeds):
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)[0]


@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(case=cases())
def test_the_body_of_pa_bit_conv_agrees_with_the_reference(case):
    expected = pa_bit_conv(case.X, attributes=case.attributes, inputs=case.inputs)
    found = run_stock(model_of(case), {"X": case.X})
    assert found.shape == expected.Y.shape
    assert (np.abs(found - expected.Y) <= body_tolerance(case, expected)).all()


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
