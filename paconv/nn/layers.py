"""PAConv2d: quantized weights convolved with quantized activations, of any scheme; and what a model of them needs."""

from __future__ import annotations

from torch import Tensor, nn

from paconv.nn.quantizer import ActivationQuantizer, WeightQuantizer

__all__ = ["PAConv2d", "PALinear", "as_conv2d", "codebook_tensors", "freeze_", "parameter_groups", "project_"]


class PAConv2d(nn.Conv2d):
    """nn.Conv2d whose weight and input pass through quantizers: for PA the piecewise approximation (eqs. 6-14).

    weight (O, C/g, KH, KW) and bias (O,) keep nn.Conv2d's shapes and state-dict keys. The input is padded with zeros
    after its approximation, so that padding sets no plane, in any scheme.

    Args:
        in_channels: As for nn.Conv2d.
        out_channels: As for nn.Conv2d.
        kernel_size: As for nn.Conv2d.
        weight_quantizer: PAWeight, or another scheme's.
        activation: PAActivation, or another scheme's, shared by convolutions that read the same tensor if need be; None
            for full-precision activations.
        zero_pads: Zeros left, right, above and below the approximated input, beside those that `padding` adds.
        **conv2d: nn.Conv2d's other arguments.
    """

    zero_pads: tuple[int, int, int, int] | None = None
    """Of one pickled before there were any."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        weight_quantizer: WeightQuantizer,
        activation: ActivationQuantizer | None,
        zero_pads: tuple[int, int, int, int] | None = None,
        **conv2d,
    ):
        super().__init__(in_channels, out_channels, kernel_size, **conv2d)
        self.weight_quantizer = weight_quantizer
        self.activation = activation
        self.zero_pads = zero_pads

    @classmethod
    def from_conv(
        cls, conv: nn.Conv2d, weight_quantizer: WeightQuantizer, activation: ActivationQuantizer | None
    ) -> PAConv2d:
        """The counterpart of `conv`, which has to be padded with zeros. Takes over its parameters."""
        made = cls(
            conv.in_channels,
            conv.out_channels,
            (conv.kernel_size[0], conv.kernel_size[1]),
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            groups=conv.groups,
            bias=conv.bias is not None,
            device="meta",
            weight_quantizer=weight_quantizer,
            activation=activation,
        )
        made.weight, made.bias = conv.weight, conv.bias
        return made.train(conv.training)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.zero_pads is None else f", zero_pads={self.zero_pads}")

    def freeze(self) -> None:
        """Turn endpoints and levels of the weight into constants."""
        self.weight_quantizer.freeze(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, O, OH, OW)."""
        if self.activation is not None:
            x = self.activation(x)
        if self.zero_pads is not None:
            x = nn.functional.pad(x, self.zero_pads)
        return self._conv_forward(x, self.weight_quantizer(self.weight), self.bias)


class PALinear(PAConv2d):
    """A linear layer as a convolution of 1x1 images: weight (O, F, 1, 1)."""

    @classmethod
    def from_linear(
        cls, linear: nn.Linear, weight_quantizer: WeightQuantizer, activation: ActivationQuantizer | None
    ) -> PALinear:
        """The counterpart of `linear`, with its weights and its own bias."""
        return cls.from_conv(as_conv2d(linear), weight_quantizer, activation)  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        """x (..., F) -> (..., O)."""
        y = super().forward(x.reshape(-1, self.in_channels, 1, 1))
        return y.flatten(1) if x.ndim == 2 else y.reshape(*x.shape[:-1], self.out_channels)


def as_conv2d(linear: nn.Linear) -> nn.Conv2d:
    """A linear layer as a 1x1 convolution, its bias its own."""
    features, outputs = linear.in_features, linear.out_features
    conv = nn.Conv2d(features, outputs, 1, bias=linear.bias is not None, device="meta")
    weight = linear.weight
    conv.weight = nn.Parameter(weight.detach()[:, :, None, None].clone(), requires_grad=weight.requires_grad)
    conv.bias = linear.bias
    return conv.train(linear.training)


def freeze_(model: nn.Module) -> nn.Module:
    """Turn the endpoints and levels of every quantizer in `model` into constants, in place.

    For export: the decisions of the frozen quantizers are exactly those of the model before.

    Returns:
        `model`.
    """
    for module in list(model.modules()):
        if isinstance(module, (PAConv2d, ActivationQuantizer)):
            module.freeze()
    return model


def codebook_tensors(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the floating-point tensors that `model`'s state dict has if its weights' levels are given."""
    found: dict[str, tuple[int, ...]] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, PAConv2d):
            shapes = module.weight_quantizer.codebook_shapes(module.out_channels)
            found |= {f"{prefix}.weight_quantizer.{name}".lstrip("."): shape for name, shape in shapes.items()}
    return found


def project_(model: nn.Module) -> None:
    """Make the endpoints of every activation quantizer admissible again. Call it after each optimizer step."""
    for module in model.modules():
        if isinstance(module, ActivationQuantizer):
            module.project_()


def parameter_groups(model: nn.Module, lr: float, weight_decay: float) -> list[dict]:
    """Groups for a torch optimizer: every parameter has weight decay except the quantizers' own.

    Those are v and beta of PA's activations, and scales and endpoints of other schemes.

    Args:
        model: A converted or float model.
        lr: Learning rate of both groups.
        weight_decay: Of the parameters that aren't a quantizer's.

    Returns:
        One or two groups, as torch.optim takes them; empty ones and frozen parameters are left out.
    """
    quantizers = [m for m in model.modules() if isinstance(m, (ActivationQuantizer, WeightQuantizer))]
    own = {id(p) for m in quantizers for p in m.parameters()}
    trained: list[nn.Parameter] = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if id(p) not in own], "lr": lr, "weight_decay": weight_decay},
        {"params": [p for p in trained if id(p) in own], "lr": lr, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
