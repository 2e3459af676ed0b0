"""Numbers that no network has are refused by every op: by the library by the node's name, and by the reference."""

import numpy as np
import pytest

import paconv
from paconv.errors import OpError
from paconv.ops.pa_bit_conv import check_parameters
from paconv.reference import finish_level_conv, pa_depthwise_conv, pa_levels
from tests.bit_conv_cases import make_case
from tests.depthwise_cases import depthwise_model, make_depthwise_case
from tests.kernels.levels.test_level_ops import levels_model
from tests.level_conv_cases import level_model, make_level_case

RNG = np.random.default_rng(0)
CASE = make_level_case(make_case(RNG), RNG, (1, 8, 6, 6))
DEPTHWISE = make_depthwise_case(RNG, channels=3)
INF, NAN = np.inf, np.nan

CLIPS = [[NAN, 1], [0, NAN], [INF, INF], [-INF, -INF]]


def message_of(model) -> str:
    with pytest.raises(Exception) as caught:
        paconv.InferenceSession(model.SerializeToString())
    return str(caught.value)


def with_one(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.copy()
    changed.flat[-1] = value
    return changed


@pytest.mark.parametrize("value", [INF, -INF, NAN])
@pytest.mark.parametrize("name", ["alpha", "beta", "scale", "bias"])
def test_factors_are_finite(name, value):
    changed = {name: with_one(CASE.case.inputs[name], value)}
    message = message_of(level_model(CASE, **changed))
    assert f"paconv.PALevelConv node 'the_conv': expected finite numbers in {name}; found" in message
    with pytest.raises(OpError, match=f"^here: expected finite numbers in {name}; found {value}$"):
        check_parameters(CASE.case.attributes, CASE.case.inputs | changed, "here")


@pytest.mark.parametrize("value", [INF, -INF, NAN])
@pytest.mark.parametrize("name", ["W", "bias"])
def test_depthwise_weights_are_finite(name, value):
    constants = DEPTHWISE.constants | {name: with_one(DEPTHWISE.constants[name], value)}
    message = message_of(depthwise_model(DEPTHWISE, **{name: constants[name]}))
    assert f"paconv.PADepthwiseConv node 'the_conv': expected finite numbers in {name}; found" in message
    with pytest.raises(OpError, match=f"finite numbers in {name}"):
        pa_depthwise_conv(DEPTHWISE.X, constants["W"], constants["bias"], **DEPTHWISE.geometry)


@pytest.mark.parametrize("clip", CLIPS)
def test_a_clip_leaves_something(clip):
    array = np.float32(clip)
    for model in (level_model(CASE, clip=array), depthwise_model(DEPTHWISE, clip=array)):
        assert "node 'the_conv': expected clip [low, high], low below infinity" in message_of(model)
    with pytest.raises(OpError, match="expected clip"):
        finish_level_conv(DEPTHWISE.sums, DEPTHWISE.R, DEPTHWISE.constants | {"clip": array})


@pytest.mark.parametrize("clip", [[-INF, INF], [0, INF], [-INF, 3], [2, 1]])
def test_a_clip_without_a_bound_is_none(clip):
    paconv.InferenceSession(level_model(CASE, clip=np.float32(clip)).SerializeToString())
    finish_level_conv(DEPTHWISE.sums, DEPTHWISE.R, DEPTHWISE.constants | {"clip": np.float32(clip)})


def test_results_beyond_float32_are_refused_and_those_just_within_it_are_not():
    most, window = float(np.finfo(np.float32).max), 72
    plain = {
        "alpha": np.float32([[0, 1, 0, 0, 0]]),
        "beta": np.float32([0, 1, 0, 0, 0, 0]),
        "bias": np.zeros(8, np.float32),
    }
    for scale, refused in ((0.99 * most / window, False), (1.01 * most / window, True)):
        changed = plain | {"scale": np.full(8, scale, np.float32)}
        inputs = CASE.case.inputs | changed
        if refused:
            assert "whose results are within float32; found" in message_of(level_model(CASE, **changed))
            with pytest.raises(OpError, match=r"within float32; found up to 3\.4\d+e\+38 in output channel 0"):
                check_parameters(CASE.case.attributes, inputs)
        else:
            paconv.InferenceSession(level_model(CASE, **changed).SerializeToString())
            check_parameters(CASE.case.attributes, inputs)


@pytest.mark.parametrize(
    "row, refused", [([-INF, 0, INF], False), ([-INF, NAN, NAN], False), ([0, NAN, 1], True), ([INF, 0, 1], True)]
)
def test_endpoints_may_be_infinite_and_are_in_order(row, refused):
    v, sign, X = np.float32([row]), np.ones(1, np.int8), np.float32([[[[-1, 0, INF, NAN]]]])
    if refused:
        assert "paconv.PALevels node '': expected v ascending in each row, NaN last" in message_of(
            levels_model(v, sign)
        )
        with pytest.raises(OpError, match="expected v ascending"):
            pa_levels(X, v, sign)
        return
    (found,) = paconv.InferenceSession(levels_model(v, sign).SerializeToString()).run(None, {"X": X})
    assert (found == pa_levels(X, v, sign)).all()
