"""What the pictures show is what the quantizers do."""

from __future__ import annotations

import pytest
import torch

import paconv
from paconv.errors import UsageError
from paconv.models import digits_resnet
from paconv.studies.accuracy.approximation import of_activations, of_weights, quantized_convolutions


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return digits_resnet(M=8, N=5, width=8).eval()


def test_weights_are_shown_in_order_with_their_level_and_slope(model):
    shown = of_weights(model, "block3.conv2")
    conv = model.get_submodule("block3.conv2")
    assert torch.equal(shown.value, conv.weight.detach().flatten().sort().values)
    W_bar = conv.weight_quantizer(conv.weight).detach().flatten()
    assert torch.equal(shown.approximated.sort().values, W_bar.sort().values)
    assert (shown.approximated.diff() >= 0).all() and len(shown.approximated.unique()) == 9
    u, levels = conv.weight_quantizer.endpoints_and_levels(conv.weight.detach())
    slope = 2 / conv.weight.detach().double().std(unbiased=False) * levels.diff()  # eq. 8, lambda' = 2
    piece = torch.bucketize(shown.value, (u[1:] + u[:-1]) / 2)
    assert torch.equal(shown.slope, slope.float()[piece])


def test_activations_are_those_of_the_images(model):
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    shown = of_activations(model, "block3.conv2", images)
    assert len(shown.value) == 4 * 32 * 2 * 2 and (shown.value >= 0).all()
    conv = model.get_submodule("block3.conv2")
    assert torch.equal(shown.approximated, conv.activation(shown.value).detach())
    assert shown.planes == 5 and (shown.slope[shown.value == 0] == 0).all() and shown.slope.max() > 0


def test_what_can_not_be_shown_is_refused(model):
    assert len(quantized_convolutions(model)) == 8
    with pytest.raises(UsageError, match="the model has no quantized convolution"):
        quantized_convolutions(digits_resnet())
    with pytest.raises(UsageError, match="fc: expected one of block1.conv1, "):
        of_weights(model, "fc")
    weights_only = paconv.convert(digits_resnet(), M=4, N=None)
    with pytest.raises(UsageError, match="block1.conv1 reads full-precision activations"):
        of_activations(weights_only, "block1.conv1", torch.zeros(1, 1, 8, 8))
