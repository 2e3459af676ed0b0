"""PAWeight with a codebook: levels that are given."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from paconv.errors import CheckpointError, UsageError
from paconv.grid import integers_of
from paconv.nn import PAConv2d, PAWeight, level_report, snap_
from paconv.reference import pa_weight

INTEGERS = torch.tensor([-15.0, -6.0, 0.0, 5.0, 13.0])
SCALES = torch.tensor([2.0**-6, 0.0, 3 * 2.0**-9])


def weights(seed: int = 0, outputs: int = 3) -> torch.Tensor:
    """(outputs, 4, 3, 3), some in every piece of INTEGERS times SCALES."""
    drawn = torch.randn((outputs, 4, 3, 3), generator=torch.Generator().manual_seed(seed))
    return 8 * drawn * SCALES[:outputs, None, None, None]


def with_codebook(codebook: torch.Tensor = INTEGERS, scales: torch.Tensor = SCALES) -> PAWeight:
    quantizer = PAWeight(4)
    quantizer.adopt_(codebook, scales)
    return quantizer


def conv_with_codebook(codebook: torch.Tensor = INTEGERS) -> PAConv2d:
    conv = PAConv2d(4, 3, 3, weight_quantizer=with_codebook(codebook), activation=None)
    conv.weight.data = weights()
    return conv


def test_weights_take_the_nearest_of_their_channels_levels_and_keep_them_as_the_weights_move():
    quantizer, W = with_codebook(), weights()
    W_bar = quantizer(W)
    for channel, scale in enumerate(SCALES):
        table = scale * INTEGERS
        nearest = (W[channel, ..., None] - table).abs().argmin(-1)
        assert torch.equal(W_bar[channel], table[nearest])
    assert len(W_bar[0].unique()) == 5, "every level is used"
    inside = W_bar + 0.4 * SCALES[:, None, None, None] * torch.where(W < W_bar, -1, 1)
    assert torch.equal(quantizer(inside), W_bar) and torch.equal(quantizer(W_bar), W_bar)


def test_the_gradient_is_that_of_eq_8_in_weights_over_their_scale():
    quantizer, W = with_codebook(), weights().requires_grad_()
    g = torch.randn(W.shape, generator=torch.Generator().manual_seed(1))
    (quantizer(W) * g).sum().backward()
    alive = SCALES > 0
    normal = W.detach()[alive] / SCALES[alive, None, None, None]
    c = INTEGERS.double()
    u = (c[1:] + c[:-1]) / 2
    segment = (normal[..., None] > (u[1:] + u[:-1]) / 2).sum(-1)
    slope = 2.0 / normal.double().std(unbiased=False) * c.diff()
    # two roundings of the slope and of the products with it, a multiplication and a division by the scale
    assert torch.allclose(W.grad[alive], g[alive] * slope.float()[segment], rtol=2**-20, atol=0)
    assert not W.grad[~alive].any()


def test_frozen_rows_are_the_same_function():
    quantizer, W = with_codebook(SCALES.new_tensor([-2.3, -0.7, 0, 0.9, 2.1]), SCALES / 3), weights() / 20
    before = quantizer(W)
    quantizer.freeze(W)
    assert quantizer.u.shape == (3, 1, 1, 1, 4) and quantizer.levels.shape == (3, 1, 1, 1, 5)
    assert quantizer.alpha.shape == (3, 5) and quantizer.masks.tolist() == [[1, 2, 0, 4, 8]]
    assert torch.equal(quantizer(W), before)
    reference = np.stack(
        [
            pa_weight(W[o].numpy(), quantizer.u[o].flatten().numpy(), quantizer.levels[o].flatten().numpy())
            for o in range(3)
        ]
    )
    assert np.array_equal(before.numpy(), reference)


def test_integers_are_on_every_grid_as_they_are():
    conv = conv_with_codebook().eval()
    before = conv.weight_quantizer(conv.weight)
    for grid in ("default", (3, 4)):
        report = snap_(conv, grid)
        assert [(layer.most, layer.by_nature, layer.error) for layer in report.layers] == [(15, True, 0.0)]
        assert torch.equal(conv.weight_quantizer(conv.weight), before)


def test_real_levels_become_integers_in_eval_mode_alone():
    conv = conv_with_codebook(INTEGERS / 3 + torch.tensor([0.1, -0.1, 0, 0.1, 0.05]))
    real = conv.weight_quantizer(conv.weight)
    assert [layer.most for layer in level_report(conv).layers] == [None]
    error = snap_(conv, (15, 31)).layers[0].error
    assert 0 < error < 0.1
    assert torch.equal(conv.train().weight_quantizer(conv.weight), real)
    snapped = conv.eval().weight_quantizer(conv.weight)
    assert not torch.equal(snapped, real)
    conv.freeze()
    assert torch.equal(conv.weight_quantizer(conv.weight), snapped)
    for row in conv.weight_quantizer.levels[[0, 2]].flatten(1).numpy():
        assert integers_of(row, 15) is not None
    moved = (snapped - real).double().square().sum() / real.double().square().sum()
    assert moved.sqrt().item() == pytest.approx(error, rel=1e-6)  # float32 levels


def test_the_state_dict_has_a_codebook_where_there_is_one():
    quantizer = with_codebook()
    assert PAWeight(4).state_dict() == {} and set(quantizer.state_dict()) == {"codebook", "scales"}
    loaded = PAWeight(4)
    loaded.load_state_dict(quantizer.state_dict())
    assert torch.equal(loaded(weights()), quantizer(weights()))
    loaded.load_state_dict({})
    assert loaded.state_dict() == {} and torch.equal(loaded(weights()), PAWeight(4)(weights()))
    assert torch.equal(copy.deepcopy(quantizer)(weights()), quantizer(weights()))


@pytest.mark.parametrize(
    ("codebook", "scales", "message"),
    [
        (INTEGERS[:4], SCALES, "expected shapes"),
        (INTEGERS.flip(0), SCALES, "ascending levels with 0 in the middle"),
        (INTEGERS + 1, SCALES, "ascending levels with 0 in the middle"),
        (INTEGERS, -SCALES, "scales: expected finite numbers"),
        (INTEGERS, SCALES / 0, "scales: expected finite numbers"),
    ],
)
def test_what_is_no_codebook_is_refused(codebook, scales, message):
    with pytest.raises(UsageError, match=message):
        with_codebook(codebook, scales)
    with pytest.raises(CheckpointError, match=message):
        PAWeight(4).load_state_dict({"codebook": codebook, "scales": scales})


def test_half_a_codebook_is_refused():
    with pytest.raises(CheckpointError, match="one of them is missing"):
        PAWeight(4).load_state_dict({"codebook": INTEGERS})
