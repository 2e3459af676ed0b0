"""The quantized network as a torch module: what fine-tuning starts from.

The float module is converted as the file says: the same convolutions, M and N of each, activation quantizers shared as
there. Weights are the levels that were chosen, held by a codebook (paconv.nn.codebook), so that exporting the module
gives the file's levels and codes again.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from torch import nn

from paconv.errors import UsageError
from paconv.grid import MOST_WEIGHT
from paconv.nn.convert import convert, convert_from_config
from paconv.nn.layers import PAConv2d
from paconv.nn.quantizers import PAActivation, PAWeight
from paconv.nn.reading import RECTIFIED
from paconv.quantization.activation_levels import ActivationLevels
from paconv.quantization.march import Layer
from paconv.quantization.quantize import Quantized

__all__ = ["quantized_module"]

_POLICIES = {"first": "first-layer", "last": "head", "depthwise": "depthwise"}
"""Option -> why a layer stays real by it (paconv.quantization.plan)."""


def quantized_module(model: nn.Module, quantized: Quantized, input_shape: tuple[int, ...] | None = None) -> nn.Module:
    """A converted copy of the float `model`, in eval mode, that computes what `quantized`, made of it, does.

    Args:
        model: The float network that was exported and quantized; left as it is.
        quantized: What it became.
        input_shape: (C, H, W) without the batch, for models that torch.fx can't trace (paconv.convert).

    Returns:
        The copy, on the same integer grid.

    Raises:
        UsageError: A quantized convolution is no module of its own.
    """
    layers = {layer.target.name: layer for layer in quantized.marched}
    _check_modules(model, layers)
    made = convert_from_config(model, _config(model, quantized, layers, input_shape)).eval()
    done: set[int] = set()
    with torch.no_grad():
        for name, layer in layers.items():
            conv = made.get_submodule(name)
            assert isinstance(conv, PAConv2d)
            _fill_weights(conv, layer)
            if layer.activation is not None and id(conv.activation) not in done:
                done.add(id(conv.activation))
                assert isinstance(conv.activation, PAActivation)
                _fill_activation(conv.activation, layer.activation, layer.target.settings.largest[1])
    return made


def _check_modules(model: nn.Module, layers: dict[str, Layer]) -> None:
    modules = dict(model.named_modules())
    for name, layer in layers.items():
        if layer.activation is not None and layer.activation.channels.changed:
            raise UsageError(
                f"{name} reads activations shifted or stretched by channel, which torch has no form of; quantize with "
                "by_channel=False"
            )
        module = modules.get(name)
        if not isinstance(module, nn.Conv2d) or tuple(module.weight.shape) != layer.target.weight.shape:
            raise UsageError(
                f"{name} is quantized in the exported network, but is no convolution of its own in torch: a function "
                "computes it, or a module that runs more than once; keep it real (keep, --keep) for a checkpoint"
            )


def _config(
    model: nn.Module, quantized: Quantized, layers: dict[str, Layer], input_shape: tuple[int, ...] | None
) -> dict:
    """What paconv.convert would have recorded (paconv.nn.convert)."""
    planes = {name: (layer.target.settings.M, layer.target.settings.N) for name, layer in layers.items()}
    M, N = Counter(planes.values()).most_common(1)[0][0]
    codes = {outcome.code for outcome in quantized.layers}
    everything = convert(model, M, N, first="pa", last="pa", depthwise="pa", input_shape=input_shape)
    config: dict = everything.paconv_conversion  # type: ignore[assignment]
    if missing := [name for name in layers if name not in config["plan"]]:
        reason = next(kept["reason"] for kept in config["kept"] if kept["name"] == missing[0])
        raise UsageError(f"{missing[0]} can't be quantized in torch: {reason}; keep it real (keep, --keep)")
    order = [name for name, _ in model.named_modules()]
    owners: dict[tuple, str] = {}
    plan: dict[str, str | None] = {}
    for name, layer in layers.items():
        key = (layer.target.node.input[0], id(layer.activation))
        plan[name] = None if layer.activation is None else owners.setdefault(key, name)
    unrectified = {owner for name, owner in plan.items() if config["reads"].get(name) != RECTIFIED}
    why = {outcome.name: (outcome.code, outcome.reason) for outcome in quantized.layers if outcome.code}
    spared = {kept["name"]: kept for kept in config["kept"]}
    for name in config["plan"].keys() - layers.keys():
        code, reason = why.get(name, ("not-run", "It doesn't run in the exported network."))
        spared[name] = {"name": name, "code": code, "reason": reason}
    return {
        **config,
        **{option: "real" if code in codes else "pa" for option, code in _POLICIES.items()},
        "plan": plan,
        "planes": {name: list(found) for name, found in planes.items() if found != (M, N)},
        "biases": [name for name in layers if model.get_submodule(name).bias is None],
        "rectified": [name for name in owners.values() if name not in unrectified],
        "signed_activations": [name for name in owners.values() if layers[name].target.signed],
        "reads": {name: config["reads"][name] for name in layers},
        "rewritten": {name: how for name, how in config["rewritten"].items() if name in layers},
        "kept": [spared[name] for name in order if name in spared],
    }


def _fill_weights(conv: PAConv2d, layer: Layer) -> None:
    weights, quantizer = layer.weights, conv.weight_quantizer
    assert isinstance(quantizer, PAWeight) and conv.bias is not None
    conv.weight.copy_(torch.from_numpy(weights.values))
    conv.bias.copy_(torch.from_numpy(weights.bias))
    codebook, scales = (torch.from_numpy(values).to(conv.weight.device) for values in (weights.levels, weights.units))
    quantizer.adopt_(codebook, scales)


def _fill_activation(quantizer: PAActivation, levels: ActivationLevels, largest: int | None) -> None:
    """largest: of the grid; None for real levels."""
    device = quantizer.v.device
    quantizer.v.copy_(torch.from_numpy(levels.v))
    quantizer.beta.copy_(torch.from_numpy(np.delete(levels.table, levels.zero)))
    quantizer.unit.fill_(levels.scale)
    if quantizer.signed:
        quantizer.negative.fill_(levels.zero)
    if largest is not None:
        quantizer.most = torch.tensor(min(largest, MOST_WEIGHT) if levels.zero else largest, device=device)
        # 1 at least: a level that the grid is to keep although the sample had none of it
        quantizer.counts = torch.from_numpy(np.maximum(levels.counts, 1)).to(device)
