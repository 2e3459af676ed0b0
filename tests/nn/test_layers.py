"""PAConv2d, and what a model of them needs in training."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paconv.bits import code_bits, one_hot_masks, pack_codes
from paconv.nn import PAActivation, PAConv2d, PAWeight, convert, freeze_, parameter_groups, project_
from paconv.reference import pa_bit_conv
from tests.nn.networks import FunctionalResNet


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pa_conv(M: int = 4, N: int | None = 5, **conv2d) -> PAConv2d:
    torch.manual_seed(0)
    activation = None if N is None else PAActivation(N)
    return PAConv2d(6, 8, 3, weight_quantizer=PAWeight(M), activation=activation, **conv2d)


@pytest.mark.parametrize("M, N", [(2, 1), (4, 5), (6, 3), (8, 7)])
@pytest.mark.parametrize(
    "geometry", [{}, {"padding": 1}, {"stride": 2, "padding": (2, 1)}, {"dilation": 2, "groups": 2, "bias": False}]
)
def test_the_convolution_is_the_sum_of_its_binary_planes(M, N, geometry):
    conv = pa_conv(M, N, **geometry)
    X = images(2, 6, 9, 8)
    W_bar = conv.weight_quantizer(conv.weight).detach().numpy()
    _, levels = conv.weight_quantizer.endpoints_and_levels(conv.weight)
    alpha = np.concatenate([[0], np.delete(levels.numpy(), M // 2)]).astype(np.float32)
    codes = (W_bar[..., None] == alpha).argmax(-1)  # 0 or the plane's number
    bias = np.zeros(8, np.float32) if conv.bias is None else conv.bias.detach().numpy()
    result = pa_bit_conv(
        X.numpy(),
        attributes={
            "weight_shape": list(W_bar.shape),
            "weight_masks": one_hot_masks(M),
            "level_masks": one_hot_masks(N),
            "strides": list(conv.stride),
            "pads": [*conv.padding, *conv.padding],
            "dilations": list(conv.dilation),
            "group": conv.groups,
            "version": 1,
        },
        inputs={
            "W": pack_codes(codes, code_bits(M + 1)),
            "alpha": alpha[None],
            "v": conv.activation.v.detach().numpy()[None],
            "sign": np.ones(1, np.int8),
            "beta": conv.activation.levels().detach().numpy(),
            "scale": np.ones(8, np.float32),
            "bias": bias,
        },
    )
    window = W_bar[0].size
    assert result.counts.max() <= window
    # float32 products and sums over one window and the bias: window + 1 roundings of the absolute sum.
    tolerance = (window + 1) * 2**-24 * result.absolute_sum
    assert (np.abs(conv(X).detach().numpy() - result.Y) <= tolerance).all()


def test_padding_sets_no_plane():
    conv = pa_conv(padding=1, bias=False)
    x = images(1, 6, 5, 5)
    padded = F.pad(x, (1, 1, 1, 1))
    level = (padded[..., None] >= conv.activation.v).sum(-1)
    ring = torch.ones(7, 7, dtype=torch.bool)
    ring[1:-1, 1:-1] = False
    assert (level[..., ring] == 0).all()
    with torch.no_grad():
        conv.activation.v.sub_(10)  # now every pixel reaches every endpoint, a quantized 0 would too
    ones = torch.full((1, 6, 5, 5), conv.activation.beta[-1].item())
    expected = F.conv2d(ones, conv.weight_quantizer(conv.weight), padding=1)
    assert torch.equal(conv(x), expected)


def test_without_activation_planes_only_the_weights_are_approximated():
    conv, x = pa_conv(N=None, padding=1), images(1, 6, 5, 5)
    assert torch.equal(conv(x), F.conv2d(x, conv.weight_quantizer(conv.weight), conv.bias, padding=1))


def test_a_float_checkpoint_loads_into_the_converted_network():
    parent = FunctionalResNet()
    model = convert(FunctionalResNet(), 4, 5)
    missing, unexpected = model.load_state_dict(parent.state_dict(), strict=False)
    assert not unexpected
    assert {key.rsplit(".", 1)[1] for key in missing} == {"v", "beta", "unit"}
    assert torch.equal(model.block1.a.weight, parent.block1.a.weight)


def test_freezing_a_model_changes_no_output():
    model = convert(FunctionalResNet(), 4, 5).eval()
    x = images(2, 3, 8, 8)
    before = model(x)
    keys = set(model.state_dict())
    assert freeze_(model) is model
    assert torch.equal(model(x), before)
    assert set(model.state_dict()) == keys
    assert all(m.u is not None for m in model.modules() if isinstance(m, PAWeight))
    assert all(m.frozen_levels is not None for m in model.modules() if isinstance(m, PAActivation))


def test_copies_and_pickles_compute_the_same_and_still_share_activations():
    model = convert(FunctionalResNet(), 4, 5).eval()
    x = images(2, 3, 8, 8)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(again(x), model(x))
        assert again.block2.a.activation is again.block2.shortcut.activation


def test_a_training_step_moves_weights_endpoints_and_levels_and_keeps_endpoints_admissible():
    model = convert(FunctionalResNet(), 4, 5).train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.Adam(parameter_groups(model, lr=0.2, weight_decay=1e-4))
    F.cross_entropy(model(images(4, 3, 8, 8)), torch.tensor([1, 2, 3, 4])).backward()
    optimizer.step()
    project_(model)
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all()
        assert not torch.equal(parameter, before[name]), name
    for module in model.modules():
        if isinstance(module, PAActivation):
            assert module.v[0] > 0 and (module.v.diff() > 0).all()


def test_training_lowers_the_loss():
    torch.manual_seed(0)
    model = convert(FunctionalResNet(), 4, 5).train()
    x, y = images(16, 3, 8, 8), torch.arange(16) % 10
    optimizer = torch.optim.Adam(parameter_groups(model, lr=5e-3, weight_decay=0.0))
    losses = []
    for _ in range(25):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        project_(model)
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_parameter_groups_hold_every_trained_parameter_once_and_spare_endpoints_and_levels_decay():
    model = convert(FunctionalResNet(), 4, 5)
    model.stem.weight.requires_grad_(False)
    decayed, spared = parameter_groups(model, lr=0.1, weight_decay=0.5)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.5, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)].rsplit(".", 1)[1] for p in spared["params"]} == {"v", "beta"}
    found = [names[id(p)] for p in (*decayed["params"], *spared["params"])]
    assert sorted(found) == sorted(set(names.values()) - {"stem.weight"})
    assert [g["weight_decay"] for g in parameter_groups(nn.Linear(2, 2), 0.1, 0.5)] == [0.5]
