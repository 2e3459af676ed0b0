"""The other architectures at their real input size, in full and small ones in fast tests. Slow: `pytest -m slow`."""

import pytest
import torch

from paconv import models
from tests.whole_models import goes_through

QUANTIZED = {"densenet121": 119, "bireal18": 16, "bireal34": 32, "mobilenet_v1": 13, "ssd300": 52}
"""Convolutions but those that stay real: the first, downsamples of Bi-Real Net, depthwise, SSD's extras and heads."""

FOLDED = {
    "densenet121": {("relu", "bn-before")},
    "bireal18": {("relu", "bn-after")},
    "bireal34": {("relu", "bn-after")},
    "mobilenet_v1": {("relu", "bn-before", "bn-after")},
    # of a bottleneck: conv1 (behind an addition), conv2, and conv3, which alone has its batch norm behind it; the
    # first one of a stage and its downsample
    "ssd300": {("relu", "bn-before"), ("relu", "bn-before", "bn-after"), ("bn-after",), ()},
}
"""What goes into the PABitConvs of each: every batch norm but that of a real convolution."""


@pytest.mark.slow
@pytest.mark.parametrize(("M", "N"), [(4, 5), (4, None)])
@pytest.mark.parametrize("name", list(QUANTIZED))
def test_an_architecture_goes_through_with_every_eligible_conv_converted(tmp_path, name, M, N):
    torch.manual_seed(0)
    size = 300 if name == "ssd300" else 224
    outcome = goes_through(tmp_path, models.build(name, M=M, N=N), QUANTIZED[name], size)
    if N is not None:
        assert {tuple(conv["folded"]) for conv in outcome.converted} == FOLDED[name]
        assert all(conv["kept"] == [] for conv in outcome.converted)
