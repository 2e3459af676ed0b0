"""A packed model with other planes: valid, of the size that they take, and run by its body and by the kernels alike."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from paconv import bits
from paconv.cost.host.probe import bit_conv, conv
from paconv.errors import UsageError
from paconv.network.extract import network
from paconv.onnx_file.graph_view import attribute
from paconv.studies.speed.recode import recoded
from paconv.verification.model import run_model

LAYER = conv(8, 16, 5)


def inputs(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    stored = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    (node,) = model.graph.node
    return dict(zip(("W", "alpha", "v", "sign", "beta", "scale", "bias"), map(stored.get, node.input[1:]), strict=True))


@pytest.mark.parametrize(("M", "N"), [(1, 1), (3, 3), (8, 7), (2, 5)])
def test_it_has_the_planes_asked_for_and_runs(M, N):
    made = recoded(bit_conv(LAYER, 2, 3), M, N)
    (layer,) = (found for found in network(made).layers if found.planes)
    assert (layer.planes.M, layer.planes.N) == (M, N)
    x = np.random.default_rng(0).standard_normal(LAYER.input_shape, np.float32)
    (y,) = run_model(made, {"X": x}, ["Y"], label="made", plain=False, kernel="planes").values()
    assert y.shape == LAYER.output_shape and np.ptp(y) > 0
    assert len(made.graph.initializer) == 7
    (node,) = made.graph.node
    assert attribute(node, "weight_masks") == bits.one_hot_masks(M)


def test_levels_stay_within_the_old_ones_and_zero_stays():
    old = bit_conv(LAYER, 4, 3, np.array([0, -2, -1, 1, 3]), np.array([0, 1, 2, 5]))
    found = inputs(recoded(old, 3, 2))
    assert found["alpha"].tolist() == [[0, -2, 0, 3]] and found["beta"].tolist() == [0, 1, 5]
    before = bits.unpack_codes(inputs(old)["W"], 16 * 8 * 9)
    after = bits.unpack_codes(found["W"], 16 * 8 * 9)
    assert {(int(a), int(b)) for a, b in zip(before, after, strict=True)} == {(0, 0), (1, 1), (2, 2), (3, 3), (4, 3)}


def test_signs_are_levels_on_both_sides_of_zero():
    found = inputs(recoded(bit_conv(LAYER, 2, 1, np.array([0, -2, 3]), np.array([0, 4])), 1, 1, signs=True))
    assert found["alpha"].tolist() == [[-3, 3]] and found["beta"].tolist() == [-4, 4]


def test_the_model_it_is_made_from_stays_as_it_is():
    model = bit_conv(LAYER, 2, 3)
    before = model.SerializeToString(deterministic=True)
    recoded(model, 1, 1)
    assert model.SerializeToString(deterministic=True) == before


def test_planes_out_of_range_are_refused():
    for arguments in ((0, 1), (1, 9), (2, 1, True)):
        with pytest.raises(UsageError):
            recoded(bit_conv(LAYER, 2, 1), *arguments)
