"""PADepthwiseConv: kernels, function body and numpy reference have the same bits; a Conv differs by rounding alone."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings

import paconv
from paconv.reference import convolve
from paconv.runtime.library import runnable_cpus
from paconv.verification.bounds import gamma
from tests.depthwise_cases import depthwise_cases, depthwise_model, make_depthwise_case
from tests.effort import examples
from tests.kernel_arguments import CHANNEL_LAST, depthwise_arguments_of
from tests.kernels.whole_conv import Block, address
from tests.ops.test_function_bodies import OPTIMIZATIONS, run_all


@pytest.mark.parametrize("cpu", runnable_cpus())
@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(case=depthwise_cases())
def test_the_kernels_of_every_cpu_give_the_bits_of_the_reference(cpu, case):
    block = Block(cpu, *depthwise_arguments_of(case))
    block["accumulate"] = address(cpu, "depthwise_sums", (0, 0))
    block.run("depthwise_conv", block.numbers["B"] * block.numbers["OH"])
    for name, expected in case.expected.items():
        assert np.array_equal(block.array(CHANNEL_LAST[name][0]), expected), name


@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(case=depthwise_cases())
def test_the_op_gives_the_bits_of_the_reference(case):
    session = paconv.InferenceSession(depthwise_model(case).SerializeToString())
    for name, found in zip(case.wanted, session.run(None, {"X": case.X, "R": case.R}), strict=True):
        assert np.array_equal(found, case.expected[name]), name


@pytest.mark.parametrize("optimization", OPTIMIZATIONS)
@settings(max_examples=examples(15), deadline=None, derandomize=True)
@given(case=depthwise_cases())
def test_the_body_in_a_stock_onnxruntime_gives_the_bits_of_the_reference(optimization, case):
    model = depthwise_model(case)
    onnx.checker.check_model(model, full_check=True)
    for name, found in zip(case.wanted, run_all(model, {"X": case.X, "R": case.R}, optimization), strict=True):
        assert np.array_equal(found, case.expected[name]), name


@settings(max_examples=examples(40), deadline=None, derandomize=True)
@given(case=depthwise_cases())
def test_the_sums_are_those_of_a_conv_but_for_rounding(case):
    W, bias = case.constants["W"], case.constants["bias"].astype(np.float64)
    X, attributes = case.X.transpose(0, 3, 1, 2), case.geometry | {"group": len(W), "weight_shape": W.shape}
    exact, size = convolve(X, W, attributes) + bias[:, None, None], convolve(np.abs(X), np.abs(W), attributes)
    bound = gamma(W[0].size + 1) * (size + np.abs(bias)[:, None, None])
    assert (np.abs(case.sums.transpose(0, 3, 1, 2) - exact) <= bound).all()


def test_the_bits_do_not_depend_on_the_thread_count():
    case = make_depthwise_case(np.random.default_rng(0), 70, (20, 20))
    results = []
    for threads in (1, 2, 5):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = paconv.InferenceSession(depthwise_model(case).SerializeToString(), sess_options=options)
        results.append(b"".join(a.tobytes() for a in session.run(None, {"X": case.X, "R": case.R})))
    assert len(set(results)) == 1


W3 = np.ones((3, 1, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("match", "changes"),
    [
        (r"expected W of shape \(C, 1, KH, KW\), all at least 1; found \[40, 2,", {"W": np.ones((40, 2, 3, 3), "f")}),
        (r"expected bias of shape \(1 or 40,\); found \[3\]", {"bias": np.ones(3, "f")}),
        (r"expected clip of shape \(2,\); found rank 1, length 3", {"clip": np.zeros(3, "f")}),
        (r"expected v2 of shape \(1 or 40, E\)", {"v2": np.zeros((3, 2), "f")}),
        ("expected strides of at least 1; found .0, 1.", {"strides": [0, 1]}),
        ("expected pads within 0..2147483647", {"pads": [0, 0, -1, 0]}),
        ("expected a node of version 1..1; found 7", {"version": 7}),
        (r"expected X of shape \(B, H, W, 3\); found \[2, 6, 7, 40\]", {"W": W3, "bias": np.zeros(1, "f")}),
        ("expected a padded image of at least 9 x 3", {"dilations": [4, 1]}),
        (r"expected R of shape \[2, 6, 3, 40\], or a single 0", {"strides": [1, 3]}),
    ],
)  # fmt: skip
def test_a_malformed_node_or_call_is_refused_with_what_was_expected(match, changes):
    case = make_depthwise_case(np.random.default_rng(0))
    if changes.get("W") is W3:
        changes |= {name: np.ones(1, np.int8) for name in ("sign1", "sign2")}
        changes |= {name: np.zeros((1, 2), np.float32) for name in ("v1", "v2")}
    with pytest.raises(Exception, match=match):
        session = paconv.InferenceSession(depthwise_model(case, **changes).SerializeToString())
        session.run(None, {"X": case.X, "R": case.R})


def test_the_shapes_of_its_results_are_inferred():
    model = depthwise_model(make_depthwise_case(np.random.default_rng(0), 24, (9, 10), strides=(2, 1)))
    for size, dim in zip([9, 10, 24], model.graph.input[0].type.tensor_type.shape.dim[1:], strict=True):
        dim.dim_value = size
    shapes = [o.shape for o in paconv.InferenceSession(model.SerializeToString()).get_outputs()]
    assert shapes == [["Y0", 5, 10, 24], ["L10", 5, 10, 24], ["L20", 5, 10, 24]]
