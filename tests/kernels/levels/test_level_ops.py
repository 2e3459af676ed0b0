"""The ops on levels: their kernels against the numpy reference, exactly, and against PABitConv's own bits."""

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import paconv
from paconv import ops
from paconv.kernels.arguments import EVEN_ENDPOINTS, LANES, LEVEL_RUN
from paconv.kernels.registry import CHOICES
from paconv.reference import finish_level_conv, pa_level_max_pool, pa_levels
from tests.bit_conv_cases import GRIDS, make_case, model_of
from tests.effort import examples
from tests.level_conv_cases import level_cases, level_model, make_level_case, one_node


def run(model, feeds, **options):
    return paconv.InferenceSession(model.SerializeToString(), **options).run(None, feeds)


def stock(model, feeds):
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)


def levels_model(v, sign):
    node = helper.make_node("PALevels", ["X", "v", "sign"], ["L"], domain=ops.DOMAIN, version=1)
    free = ["B", "H", "W", "C"]
    return one_node(node, [("X", TensorProto.FLOAT, free)], [("L", TensorProto.UINT8, free)], {"v": v, "sign": sign})


def pool_model(kernel, strides, pads):
    node = helper.make_node(
        "PALevelMaxPool", ["L"], ["P"], domain=ops.DOMAIN, version=1, kernel_shape=kernel, strides=strides, pads=pads,
        names=["pooled"],
    )  # fmt: skip
    return one_node(
        node, [("L", TensorProto.UINT8, ["B", "H", "W", "C"])], [("P", TensorProto.UINT8, ["B", "OH", "OW", "C"])], {}
    )


@pytest.mark.parametrize("kernel", CHOICES)
@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(level_case=level_cases(grids=(None, *GRIDS)))
def test_a_convolution_of_levels_has_the_bits_of_bit_conv_then_add_clip_and_compare(kernel, level_case):
    (S,) = run(model_of(level_case.case), {"X": level_case.case.X}, kernel=kernel)
    expected = finish_level_conv(np.ascontiguousarray(S.transpose(0, 2, 3, 1)), level_case.residual, level_case.finish)
    found = run(level_model(level_case), {"L": level_case.L, "R": level_case.residual}, kernel=kernel)
    for name, array in zip(level_case.wanted, found, strict=True):
        assert (array == expected[name]).all(), name


@settings(max_examples=20, deadline=None, derandomize=True)
@given(level_case=level_cases())
def test_the_body_of_a_convolution_of_levels_takes_the_same_decisions_but_for_rounding(level_case):
    feeds = {"L": level_case.L, "R": level_case.residual}
    found = dict(zip(level_case.wanted, stock(level_model(level_case), feeds), strict=True))
    if "Y" in found:  # its own Y decides
        for k in (1, 2):
            if f"L{k}" in found:
                levels = pa_levels(found["Y"], level_case.finish[f"v{k}"], level_case.finish[f"sign{k}"])
                assert (found[f"L{k}"] == levels).all()


@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(
    channels=st.sampled_from([1, LANES, 40]),
    E=st.sampled_from([EVEN_ENDPOINTS - 1, EVEN_ENDPOINTS, 15, 63, 127, 255]),
    shift=st.sampled_from([0, 1, 1e3, 1e5]),
    bent=st.sampled_from([0, 1e-5, 1e-3, 0.1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_endpoints_that_are_about_evenly_apart_are_counted_exactly(channels, E, shift, bent, seed):
    rng = np.random.default_rng(seed)
    steps = np.float64(2.0) ** rng.integers(-20, 20, (channels, 1)) * rng.random((channels, 1))
    places = np.arange(E) + bent * rng.random((channels, E)) + shift * rng.standard_normal((channels, 1))
    v = np.sort((steps * places).astype(np.float32), axis=1)
    if seed % 5 == 0:
        v[rng.integers(channels)] = rng.choice(np.float32([0, np.inf, -np.inf, np.nan]))
    sign = rng.choice(np.array([-1, 1], np.int8), channels)
    at = (np.arange(channels), rng.integers(0, E, (2, 9, 7, channels)))
    X = v[at] * sign  # endpoints, numbers next to them, others between, beyond and none
    X = X.view(np.int32) + rng.choice([0, 0, 1, -1, 2, -2, 40, -40], X.shape).astype(np.int32)
    between = rng.random(X.shape) < 0.5
    X = np.where(between, v[at] * sign + steps[:, 0] * rng.standard_normal(X.shape), X.view(np.float32))
    X = X.astype(np.float32)
    X.flat[::17] = rng.choice(np.float32([np.nan, np.inf, -np.inf, -0.0, 3e38, -3e38]), X.flat[::17].size)
    model, expected = levels_model(v, sign), pa_levels(X, v, sign)
    assert (run(model, {"X": X})[0] == expected).all()


@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(
    channels=st.sampled_from([1, 2, LANES - 1, LANES, LANES + 1, 40]),
    rows=st.booleans(),
    signs=st.booleans(),
    size=st.sampled_from([(1, 1), (3, 5), (8, LEVEL_RUN // 8), (9, 15)]),
    E=st.sampled_from([1, 2, 5, 8, 255]),
    seed=st.integers(0, 2**32 - 1),
)
def test_levels_count_the_endpoints_reached(channels, rows, signs, size, E, seed):
    rng = np.random.default_rng(seed)
    v = np.sort(rng.standard_normal((channels if rows else 1, E)).astype(np.float32), axis=1)
    v[0, E // 2 :] = np.nan if seed % 2 else v[0, E // 2 :]
    sign = rng.choice(np.array([-1, 1], np.int8), channels if signs else 1)
    X = rng.standard_normal((2, *size, channels)).astype(np.float32)
    X.flat[::3] = rng.choice(v.reshape(-1), X.flat[::3].size)
    X.flat[::11] = rng.choice(np.float32([np.nan, np.inf, -np.inf, -0.0]), X.flat[::11].size)
    model, expected = levels_model(v, sign), pa_levels(X, v, sign)
    (found,) = run(model, {"X": X})
    assert found.dtype == np.uint8 and (found == expected).all()
    assert (stock(model, {"X": X})[0] == expected).all()


@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padded=st.tuples(*[st.booleans()] * 4),
    channels=st.sampled_from([1, 15, 33, 64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_max_pooling_takes_the_largest_level_of_each_window(kernel, strides, padded, channels, seed):
    rng = np.random.default_rng(seed)
    pads = [int(rng.integers(0, kernel[k % 2])) if padded[k] else 0 for k in range(4)]
    size = [kernel[k] + int(rng.integers(0, 6)) for k in range(2)]
    L = rng.integers(0, 9, (2, *size, channels), dtype=np.uint8)
    model, expected = pool_model(kernel, strides, pads), pa_level_max_pool(L, kernel, strides, pads)
    assert (run(model, {"L": L})[0] == expected).all()
    assert (stock(model, {"L": L})[0] == expected).all()


def test_levels_do_not_depend_on_the_thread_count():
    rng = np.random.default_rng(0)
    case = make_case(rng, channels=40, out=24, size=(20, 20))
    level_case = make_level_case(case, rng, (1, 24, 20, 20))
    feeds = {"L": level_case.L, "R": level_case.residual}
    results = []
    for threads in (1, 2, 5):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        results.append(b"".join(a.tobytes() for a in run(level_model(level_case), feeds, sess_options=options)))
    assert len(set(results)) == 1


def bad_level_conv(match, **changes):
    rng = np.random.default_rng(0)
    level_case = make_level_case(make_case(rng, per_channel=False), rng, (1, 8, 6, 6))
    with pytest.raises(Exception, match=match):
        run(level_model(level_case, **changes), {"L": level_case.L, "R": level_case.residual})


@pytest.mark.parametrize(
    ("match", "changes"),
    [
        (r"expected clip of shape \(2,\); found rank 1, length 3", {"clip": np.zeros(3, np.float32)}),
        (r"expected v1 of shape \(1 or 8, E\)", {"v1": np.zeros((3, 2), np.float32)}),
        ("expected sign2 .1 or -1; found 0", {"sign2": np.zeros(1, np.int8)}),
        ("expected v2 ascending", {"v2": np.float32([[2, 1]])}),
        (r"expected L of shape \(B, H, W, 9\)", {"weight_shape": [8, 9, 1, 8]}),
        ("expected a node of version 1..1; found 7", {"version": 7}),
    ],
)
def test_a_malformed_node_is_refused_with_what_was_expected(match, changes):
    bad_level_conv(match, **changes)


def test_a_residual_of_another_shape_is_refused():
    rng = np.random.default_rng(0)
    level_case = make_level_case(make_case(rng), rng, (1, 8, 6, 6))
    session = paconv.InferenceSession(level_model(level_case).SerializeToString())
    for R in (np.zeros((1, 6, 6, 7), np.float32), np.ones((1, 1, 1, 1), np.float32)):
        with pytest.raises(Exception, match=r"expected R of shape \[1, 6, 6, 8\], or a single 0"):
            session.run(None, {"L": level_case.L, "R": R})
