"""SYQ: binary or ternary weights with a trained scale for each pixel of the kernel, activations of N bits.

    W_bar[.., i] = alpha_i Q[.., i],   Q = sign(W)  (M = 1)   or   0 for |W| <= eta max|W|  (M = 2)   (eqs. 4-6)
    dC/dalpha_i = sum of dC/dW_bar Q over subgroup i,   dC/dW = alpha_i dC/dW_bar                     (eqs. 9, 10)
    x_bar = floor(2^f clip(x, 0, (2^N - 1) 2^-f) + 1/2) 2^-f;   dC/dx = dC/dx_bar inside the clip     (eq. 8)

Subgroup i is a pixel (kh, kw) of the kernel over all filters and channels (`scaling="pixel"`), a row kh ("row"), or
the whole tensor ("layer"). Ternary zeros: alpha_i stands for 1 there in dC/dW, as in the authors' code, eta = 0.05.
alpha_i starts from mean |W| of its subgroup; f, which the paper sets by the range of a layer, is N - 2 unless given.

The authors' code (julianfaraone/SYQ at 10c2c95, examples/SYQ-AlexNet) differs from the article:
- Its activations are clipped to [0, 1] and have 2^N - 1 steps there (syq-alexnet.py lines 67-71, which leave its own
  FRAC = 4 out; quantize.py lines 146-159). `fixed_point=False` is that; the default is the article's eq. 8.
- Of binary weights, those with |W| <= eta max|W| stay +-1, without alpha_i (quantize.py lines 27-49). Not so here.
Its ternary weights, gradients (the identity times the scale) and starts (mean |W| of a pixel, line 38) are those above.

In the packed model a scale belongs to an output channel, not to a pixel. So a kernel of several subgroups is exported
as one convolution for each, added: subgroup i is a kernel of one pixel (or one row) on the input shifted by its place,
whose scale is then one number. Bit operations are as many as for one kernel; every result is exact. (Eight planes could
hold 4 pixels of one kernel, each with a plane for +alpha and for -alpha, but would work on the whole window for each.)
The shift is a crop of the input before its quantization, so a batch norm there isn't folded. 1x1 kernels have one
subgroup and need none of this.

J. Faraone, N. Fraser, M. Blott, P. Leong: SYQ: Learning Symmetric Quantization for Efficient Deep Neural Networks,
CVPR 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import ClassVar

import torch
from torch import Tensor, nn

from paconv.errors import UsageError
from paconv.nn.layers import PAConv2d
from paconv.nn.quantizer import ActivationQuantizer, SteppedActivation, WeightQuantizer, call_op
from paconv.nn.rounding import at_least, at_most, below
from paconv.nn.schemes.dorefa import DoReFaActivation
from paconv.nn.schemes.evenly import even_steps
from paconv.nn.schemes.scheme import Scheme, check_positive_number
from paconv.nn.steps import Steps, straight_through
from paconv.schemes import SchemeRecord, records

__all__ = ["SYQ", "SYQActivation", "SYQConv2d", "SYQWeight"]

SCALINGS = ("pixel", "row", "layer")


class SYQWeight(WeightQuantizer):
    """alpha_i Q; trained: `alpha` (KH, KW), (KH, 1) or (1, 1), which broadcasts against a kernel."""

    delta: Tensor | None

    def __init__(self, groups: tuple[int, int], ternary: bool, eta: float):
        super().__init__()
        self.ternary, self.eta = ternary, eta
        self.alpha = nn.Parameter(torch.ones(groups))
        self.register_buffer("delta", None, persistent=False)

    @torch.no_grad()
    def initialize_(self, W: Tensor) -> None:
        axes = [axis for axis, size in ((2, self.alpha.shape[0]), (3, self.alpha.shape[1])) if size == 1]
        self.alpha.copy_(W.double().abs().mean((0, 1, *axes)).reshape(self.alpha.shape))

    @torch.no_grad()
    def freeze(self, W: Tensor) -> None:
        self.delta = None
        self.delta = self._delta(W)

    def natural_integer(self, W: Tensor, most: int) -> int | None:
        return 1 if self.ternary else 2  # alpha_0 = -alpha, alpha_1 = 2 alpha

    def grid_error(self, W: Tensor) -> float:
        return 0.0

    def codes(self, W: Tensor) -> Tensor:
        """Q (O, C/g, KH, KW): -1, 0 and +1."""
        return self.steps(W, torch.ones(1, dtype=W.dtype, device=W.device)).of_weights(W)

    @torch.no_grad()
    def steps(self, W: Tensor, alpha: Tensor) -> Steps:
        """The step function of weights of one subgroup, of scale alpha (1,)."""
        delta = self._delta(W.detach())
        if not self.ternary:
            masks = torch.tensor([[0, 1]], dtype=torch.uint8, device=W.device)
            return Steps(below(delta, W.dtype).reshape(1, 1), torch.cat([-alpha, 2 * alpha])[None], masks)
        endpoints = torch.stack([below(-delta, W.dtype), at_most(delta, W.dtype)])[None]
        masks = torch.tensor([[1, 0, 2]], dtype=torch.uint8, device=W.device)
        return Steps(endpoints, torch.cat([torch.zeros_like(alpha), -alpha, alpha])[None], masks)

    def _delta(self, W: Tensor) -> Tensor:
        """() float64: eta max|W|, 0 for binary weights."""
        if self.delta is not None:
            return self.delta
        return W.double().abs().amax() * self.eta if self.ternary else W.new_zeros((), dtype=torch.float64)

    def forward(self, W: Tensor) -> Tensor:
        """W_bar (O, C/g, KH, KW) of W."""
        Q = self.codes(W.detach())
        scale = torch.where(Q == 0, 1.0, self.alpha.detach()).to(W.dtype)
        return straight_through(self.alpha * Q, W * scale + self.alpha * Q)

    def extra_repr(self) -> str:
        return f"groups={tuple(self.alpha.shape)}, ternary={self.ternary}"


class _Part(nn.Module):
    """One subgroup of a frozen SYQConv2d: its kernel and its place, as exported."""

    u: Tensor
    levels: Tensor
    alpha: Tensor
    masks: Tensor

    def __init__(self, conv: SYQConv2d, row: int, column: int):
        super().__init__()
        quantizer = conv.weight_quantizer
        rows = slice(row, row + 1) if len(quantizer.alpha) > 1 else slice(None)
        columns = slice(column, column + 1) if quantizer.alpha.shape[1] > 1 else slice(None)
        steps = quantizer.steps(conv.weight, quantizer.alpha.detach()[row, column].reshape(1))
        self.weight = nn.Parameter(conv.weight.detach()[:, :, rows, columns].contiguous(), requires_grad=False)
        tables = {"u": steps.endpoints[0], "levels": steps.levels[0], "alpha": steps.coefficients, "masks": steps.masks}
        for name, value in tables.items():
            self.register_buffer(name, value, persistent=False)
        self.geometry = (conv.stride, conv.dilation, conv.groups)
        self.crops, self.pads = zip(*map(self._edges, (0, 1), (conv, conv), (row, column)), strict=True)

    def _edges(self, axis: int, conv: SYQConv2d, place: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """((pixels to cut at either end), (pixels to pad)) of an axis: a kernel at `place` of conv's, alone."""
        span = conv.dilation[axis] * (conv.kernel_size[axis] - 1)
        before = conv.pads[axis][0] - conv.dilation[axis] * place
        behind = conv.pads[axis][1] - (span - conv.dilation[axis] * (place + self.weight.shape[2 + axis] - 1))
        return (max(-before, 0), max(-behind, 0)), (max(before, 0), max(behind, 0))

    def forward(self, x: Tensor, activation: ActivationQuantizer | None, bias: Tensor | None) -> Tensor:
        (top, bottom), (left, right) = self.crops
        x = x[:, :, top : -bottom or None, left : -right or None]
        x = x if activation is None else activation(x)
        W_bar = call_op("PAWeight", (self.weight, self.u, self.levels, self.alpha, self.masks), self.weight)
        stride, dilation, groups = self.geometry
        (top, bottom), (left, right) = self.pads
        x = nn.functional.pad(x, (left, right, top, bottom)) if any((top, bottom, left, right)) else x
        return nn.functional.conv2d(x, W_bar, bias, stride, 0, dilation, groups)


class SYQConv2d(PAConv2d):
    """A PAConv2d whose weight has a scale for each subgroup. Exported, a sum of convolutions, one a subgroup."""

    weight_quantizer: SYQWeight

    @property
    def pads(self) -> tuple[tuple[int, int], ...]:
        """(before, behind) of rows and of columns."""
        if isinstance(self.padding, str):
            right, left = self._reversed_padding_repeated_twice[1::2], self._reversed_padding_repeated_twice[::2]
            return tuple(zip(left[::-1], right[::-1], strict=True))
        return tuple((p, p) for p in self.padding)

    def freeze(self) -> None:
        """Turn the weight into constants, a part for each subgroup."""
        self.weight_quantizer.freeze(self.weight)
        rows, columns = self.weight_quantizer.alpha.shape
        self.parts = nn.ModuleList(_Part(self, row, column) for row in range(rows) for column in range(columns))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, O, OH, OW)."""
        if not torch.onnx.is_in_onnx_export():
            return super().forward(x)
        parts = (part(x, self.activation, self.bias if k == 0 else None) for k, part in enumerate(self.parts))
        return reduce(add, parts)


class SYQActivation(SteppedActivation):
    """Activations of `bits` bits, `fraction_bits` of them behind the point."""

    def __init__(self, bits: int, fraction_bits: int):
        super().__init__()
        self.bits, self.fraction_bits = bits, fraction_bits
        self.step = 2.0**-fraction_bits

    def steps(self) -> Steps:
        halves = (torch.arange(1, 1 << self.bits, dtype=torch.float64)[None] - 0.5) * self.step
        return even_steps(at_least(halves, torch.float32), 0, 1, self.step)

    def through(self, x: Tensor, steps: Steps) -> Tensor:
        return x * ((x.detach() >= 0) & (x.detach() <= ((1 << self.bits) - 1) * self.step))

    def extra_repr(self) -> str:
        return f"bits={self.bits}, fraction_bits={self.fraction_bits}"


@dataclass(frozen=True)
class SYQ(Scheme):
    """SYQ's scheme."""

    record: ClassVar[SchemeRecord] = records.SYQ

    any_padding: ClassVar[bool] = False

    M: int = record.default[0]
    """Bits per weight: 1 (binary) or 2 (ternary)."""
    N: int | None = record.default[1]
    """Bits per activation: 1..8, or None for full precision."""
    scaling: str = "pixel"
    """What has a scale of its own: "pixel", "row" or "layer"."""
    eta: float = 0.05
    """Threshold of ternary weights over max |W|."""
    fraction_bits: int | None = None
    """f; None for N - 2."""
    fixed_point: bool = True
    """Whether activations are fixed-point numbers; otherwise 2^N - 1 even steps in [0, 1]."""

    added_later: ClassVar[dict[str, object]] = {"fixed_point": True}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive_number(self.title, eta=self.eta)
        if self.scaling not in SCALINGS:
            raise UsageError(f"{self.title}: scaling must be one of {', '.join(SCALINGS)}; found {self.scaling!r}")
        f = self.fraction_bits
        if f is not None and (isinstance(f, bool) or not isinstance(f, int) or not -16 <= f <= 16):
            raise UsageError(f"{self.title}: fraction_bits must be an integer from -16 to 16; found {f!r}")
        if not isinstance(self.fixed_point, bool):
            raise UsageError(f"{self.title}: fixed_point must be True or False; found {self.fixed_point!r}")
        if f is not None and not self.fixed_point:
            raise UsageError(f"{self.title}: fraction_bits is of fixed-point activations; found fixed_point=False")

    def weight_quantizer(self, conv: nn.Conv2d) -> SYQWeight:
        rows, columns = conv.kernel_size
        groups = {"pixel": (rows, columns), "row": (rows, 1), "layer": (1, 1)}[self.scaling]
        return SYQWeight(groups, self.M == 2, self.eta)

    def activation(self, rectified: bool) -> ActivationQuantizer:
        assert self.N is not None
        if not self.fixed_point:
            return DoReFaActivation(self.N)
        return SYQActivation(self.N, self.N - 2 if self.fraction_bits is None else self.fraction_bits)

    def layer(self, conv: nn.Conv2d, activation: ActivationQuantizer | None) -> nn.Module:
        return SYQConv2d.from_conv(conv, self.weight_quantizer_for(conv), activation)
