"""The other architectures at their real input size through the command line. `make test-all` runs them."""

import pytest
import torch
from torch import nn

from paconv import models
from tests.whole_models import goes_through

QUANTIZED = {"densenet121": 119, "bireal18": 16, "bireal34": 32, "mobilenet_v1": 13, "ssd300": 52}
"""Convolutions but those that stay real: the first, downsamples of Bi-Real Net, depthwise, SSD's extras and heads."""

MACS = {
    "densenet121": 2_834_161_664,
    "bireal18": 1_814_073_344,
    "bireal34": 3_663_761_408,
    "mobilenet_v1": 568_740_352,  # "569 million mult-adds", Howard et al. 2017, Table 8
}
"""Of one 224x224 image. Bi-Real Net's are ResNet18's and 34's (Table 7)."""

FOLDED = {
    "densenet121": {("relu", "bn-before")},
    "bireal18": {("relu", "bn-after", "residual")},
    "bireal34": {("relu", "bn-after", "residual")},
    "mobilenet_v1": {("relu", "bn-before", "bn-after", "clip")},
    "ssd300": {
        ("relu", "bn-before"),  # conv2 of a bottleneck
        ("relu", "bn-before", "bn-after", "residual"),  # conv3, whose batch norm stands before an addition
        ("relu", "bn-before", "bn-after", "residual", "clip"),  # and that one before a ReLU
        *{(), ("bn-after",)},  # conv1 and downsample, where the relu in front is read by others too
        *{("relu",), ("relu", "bn-after")},  # and where it isn't
    },
}
"""What goes into the PABitConvs of each: every batch norm but that of a real convolution."""


def uncounted_bytes(model: nn.Module, converted: list[dict], N: int | None) -> int:
    """What the paper's accounting leaves out and a DenseNet has much of: of a batch norm that stays, mean and variance;
    of one that is folded, N endpoints for each input channel.
    """
    modules = dict(model.named_modules())
    if N is None:
        return sum(2 * 4 * m.num_features for m in modules.values() if isinstance(m, nn.BatchNorm2d))
    return sum(4 * N * modules[conv["node"]].in_channels for conv in converted if "bn-before" in conv["folded"])


REAL_SHORTCUTS = {"ssd300": 4}
"""1x1 convolutions on shortcuts, which stay real under Bi-Real Net, where they don't already."""


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.parametrize("name", list(QUANTIZED))
def test_an_architecture_goes_through_under_bireal(tmp_path, name):
    torch.manual_seed(0)
    model = models.build(name, scheme="bireal")
    outcome = goes_through(tmp_path, model, QUANTIZED[name] - REAL_SHORTCUTS.get(name, 0), models.input_shape(name)[1])
    assert outcome.cost["totals"]["macs"] == MACS.get(name, outcome.cost["totals"]["macs"])


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.parametrize(("M", "N"), [(4, 5), (8, 7), (4, None)])
@pytest.mark.parametrize("name", list(QUANTIZED))
def test_an_architecture_goes_through_with_every_eligible_conv_converted(tmp_path, name, M, N):
    torch.manual_seed(0)
    model = models.build(name, M=M, N=N)
    outcome = goes_through(tmp_path, model, QUANTIZED[name], models.input_shape(name)[1])
    assert outcome.cost["totals"]["macs"] == MACS.get(name, outcome.cost["totals"]["macs"])
    if N is not None:
        assert {tuple(conv["folded"]) for conv in outcome.converted} == FOLDED[name]
        assert all(conv["kept"] == [] for conv in outcome.converted)
    counted = outcome.cost["totals"]["bits"] / 8
    assert outcome.size <= 1.05 * (counted + uncounted_bytes(model, outcome.converted, N))
