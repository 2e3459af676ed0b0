"""Zero padding between a quantized activation and its convolution."""

import numpy as np
import pytest

import paconv
from tests.passes import graphs


def test_zero_padding_of_a_quantized_activation_becomes_pads_of_the_convolution():
    rng = np.random.default_rng(0)
    given = graphs.model(
        """
        same (float[b, 2, h, w] x) => (float[b, 3, oh, ow] y) {
          a = paconv.PAActivation (x, v, levels)
          p = Pad (a, amounts, zero)
          w_bar = paconv.PAWeight (W, u, alpha)
          ["conv"] y = Conv <pads = [1, 0, 0, 2]> (p, w_bar)
        }""",
        amounts=np.array([0, 0, 1, 2, 0, 0, 2, 1], np.int64),
        zero=np.float32(0),
        **graphs.pa_constants(rng, 3, 2, 4, 2),
    )
    optimized = paconv.optimize(given).model
    assert graphs.ops(optimized) == ["PABitConv"]
    assert list(next(a.ints for a in optimized.graph.node[0].attribute if a.name == "pads")) == [2, 2, 2, 3]
    x = graphs.image(rng, 2, 2, 5, 7)
    assert graphs.run(optimized, x=x)[0].tolist() == graphs.run(given, x=x)[0].tolist()
    assert paconv.verify(given, optimized, {"x": x}).ok


@pytest.mark.parametrize("amounts", [[0, 1, 0, 0, 0, 0, 0, 0], [0, 0, -1, 0, 0, 0, 0, 0]])
def test_padding_of_channels_and_cropping_stay_and_the_weights_are_packed(amounts):
    rng = np.random.default_rng(0)
    given = graphs.model(
        """
        g (float[b, 2, 5, 5] x) => (float[b, 3, oh, ow] y) {
          a = paconv.PAActivation (x, v, levels)
          p = Pad (a, amounts)
          w_bar = paconv.PAWeight (W, u, alpha)
          ["conv"] y = Conv (p, w_bar)
        }""",
        amounts=np.array(amounts, np.int64),
        **graphs.pa_constants(rng, 3, 3 if amounts[1] else 2, 2, 2),
    )
    assert graphs.ops(paconv.optimize(given).model) == ["PAActivation", "Pad", "PAUnpackWeight", "Conv"]
