"""Turn a float CNN into its quantized counterpart, weights kept; and the same again from a saved configuration.

The configuration (`model.paconv_conversion`) is plain JSON: the scheme's name and parameters, the other options, `plan`
with the name of every converted convolution and of the convolution whose activation quantizer it uses (its own name,
another's when they read the same tensor, None for full-precision activations), `rectified` with the names of those
whose quantizer reads only the output of a ReLU, `signed_activations` with those whose quantizer has levels on both
sides of 0, `reads` with what each converted convolution reads (paconv.nn.reading), and `kept` with the layers that
stay real. `rewritten` has, for convolutions of derived classes that became plain ones (paconv.nn.plain_conv), the
`class`, the `pads` where opposite sides differ, whether there are `new_weights`, and the `sizes` of images that the
padding holds for, None for all; `computed` by what layers computed weights that became plain ones
(paconv.nn.computed_weights); `input_shape` what was given. Older configurations have no `signed_activations`, for no
such quantizers, and no `reads`, `rewritten`, `computed`, `linear` and `input_shape`. Others than `convert` record
`planes`, (M, N) of convolutions that have others than the rest, and `biases`, names of those that got a bias.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.jit import ScriptModule
from torch.nn.utils.parametrize import type_before_parametrizations

from paconv.errors import CheckpointError, UsageError
from paconv.nn.computed_weights import computed_by, copied, fix_
from paconv.nn.layers import PAConv2d
from paconv.nn.plain_conv import NotPlain, PlainConv, plain_conv
from paconv.nn.quantizer import ActivationQuantizer
from paconv.nn.reading import LAYERS, Reading, is_constant, read, sizes_read
from paconv.nn.report import Conversion, conversion_of
from paconv.nn.schemes.registry import DEFAULT, Default, make_scheme, scheme_from_config, up_to_date
from paconv.nn.schemes.scheme import Scheme
from paconv.nn.wrapping import unwrapped

__all__ = ["convert", "convert_from_config"]

_COMPUTED = "its weight is no parameter, but set by code of its own; make it an nn.Parameter first"
_SCRIPT = "a TorchScript module, whose layers are compiled already; give the module that it was made from"


def convert(
    model: nn.Module,
    M: int | Default = DEFAULT,
    N: int | Default | None = DEFAULT,
    *,
    scheme: str = "pa",
    keep: Iterable[str] | str = (),
    first: str = "real",
    last: str = "real",
    depthwise: str = "real",
    linear: str = "real",
    shortcuts: str | None = None,
    input_shape: tuple[int, ...] | None = None,
    **parameters,
) -> nn.Module:
    """A copy of `model` whose nn.Conv2d have M weight planes and N activation planes, by a quantization scheme.

    These stay real: linear layers; the first convolution and any other that reads an input of the model; the heads,
    convolutions from which an output of the model is reached without another layer between; depthwise convolutions;
    constant ones, whose weights aren't trained; for xnor, bireal and groupnet_layerwise the 1x1 convolutions on
    the shortcut of a residual block, as far as torch.fx can trace the model; and the layers named by `keep`.
    Convolutions that read the same tensor, with or without a ReLU in between, share one activation quantizer (for xnor,
    bireal and groupnet there is one for each case, for PA where one may be negative and the other not); it is
    `rectified` if all of them read the output of a ReLU. PA's has levels on both sides of 0 unless all that it reads is
    known never to be negative.
    Weights that a layer computes in ways torch offers (weight_norm, spectral_norm, parametrizations, pruning masks) are
    taken as they are in eval mode, as plain ones. Of a model in one of torch's wrappers (DataParallel, AveragedModel,
    torch.compile) the model within is converted.
    `paconv.nn.conversion_report` lists what was converted and what was kept, and why; its `predict` gives the speed to
    expect.

    Args:
        model: The float network; left as it is.
        M: Weight planes, or bits per weight. For PA 1..8, by default 4; DEFAULT is the scheme's own default.
        N: Activation planes, or bits per activation; None for full-precision activations. For PA 1..8 or None, by
            default 5.
        scheme: A key of paconv.nn.schemes.SCHEMES: "pa", "xnor", "bwn", "bireal", "abc", "groupnet",
            "groupnet_layerwise", "twn", "ttq", "dorefa", "syq" or "lqnet". Each one's file has its M, N and equations.
        keep: Names of layers to keep real, or of the modules that hold them; * and ? are wildcards.
        first: "real" keeps the first convolution and those that read an input of the model; the scheme's name converts
            them.
        last: The same for the heads.
        depthwise: The same for depthwise convolutions.
        linear: The same for linear layers that aren't heads, which become 1x1 convolutions; not of "xnor",
            "groupnet_layerwise" and "syq".
        shortcuts: The same for 1x1 convolutions on shortcuts; None is the scheme's own choice.
        input_shape: (C, H, W), without the batch. Needed only where torch.fx can't trace the model: a forward pass of
            zeros then shows the order of the layers and which tensors they read. Without it that is unknown, and no
            activation quantizer is shared or rectified.
        **parameters: The scheme's own. PA has `endpoints`, `lambda_w` and `around_mean` (see PAWeight), `lambda_a` and
            `lambda_delta` (see PAActivation), and `signed`: False gives no quantizer levels below 0, True all of them,
            "auto", the default, those that may read something negative.

    Returns:
        The converted copy, its parameters on the device and in the dtype of `model`'s.

    Raises:
        UsageError: `model` is no module, is TorchScript, is already converted, can't be copied or has nothing to
            convert; the scheme is unknown; an option is invalid; or a pattern in `keep` matches no layer.
    """
    if not isinstance(model, nn.Module):
        is_class = isinstance(model, type)
        found = f"the class {model.__name__}; call it" if is_class else f"{type(model).__name__} ({model!r})"
        raise UsageError(f"model: expected a torch.nn.Module, found {found}")
    model = unwrapped(model)
    made = make_scheme(scheme, M, N, **parameters)
    shortcuts = ("real" if made.real_shortcuts else scheme) if shortcuts is None else shortcuts
    policies = {"first": first, "last": last, "depthwise": depthwise, "shortcuts": shortcuts, "linear": linear}
    for option, value in policies.items():
        if value not in ("real", scheme):
            raise UsageError(f"{option} must be 'real' or {scheme!r}; found {value!r}")
    if linear != "real" and not made.has_linear():
        raise UsageError(f"linear must be 'real': {made.title} has no linear layers; found {linear!r}")
    keep = _checked_names(keep)
    for name, module in model.named_modules():
        if isinstance(module, PAConv2d):
            raise UsageError(f"the model is already converted: {name} is a PAConv2d; convert its float parent instead")
    layers: dict[str, nn.Module] = {name: m for name, m in model.named_modules() if isinstance(m, LAYERS)}
    for pattern in keep:
        if not any(_names(pattern, name) for name in layers):
            raise UsageError(f"keep={pattern!r} names no convolution or linear layer; layers are {_some(layers)}")

    reading = read(model, input_shape)
    spared = _spared(layers, reading, keep, scheme, policies)
    own = copied(model)
    computed = _fixed_(own, [name for name in layers if name not in spared])
    plain = _plain_convs(own, [name for name in layers if name not in spared], input_shape, made)
    spared |= {name: ("subclass", found) for name, found in plain.items() if isinstance(found, str)}
    rewritten = {name: _how(layers[name], found) for name, found in plain.items() if isinstance(found, PlainConv)}
    plan: dict[str, str | None] = {}
    owners: dict = {}
    for name in layers:
        if name not in spared:
            signed = made.takes_signed(name in reading.nonnegative)
            apart = signed or (made.rectified_apart and name in reading.rectified)
            owner = owners.setdefault((reading.sources.get(name, ("own", name)), apart), name)
            plan[name] = owner if made.N is not None else None
    reads = {name: reading.reads(name) for name in plan}
    signed_activations = [
        name for name, owner in plan.items() if name == owner and made.takes_signed(name in reading.nonnegative)
    ]
    unrectified = {owner for name, owner in plan.items() if name not in reading.rectified}
    rectified = [name for name, owner in plan.items() if name == owner and owner not in unrectified]
    spared |= {
        name: ("torchscript", _SCRIPT) for name, m in model.named_modules() if _is_outermost_script(model, name, m)
    }
    kept = [{"name": name, "code": code, "reason": reason} for name, (code, reason) in spared.items()]
    if not plan:
        reasons = "; ".join(f"{k['name'] or 'the model'}: {k['reason']}" for k in kept[:6]) or "it has no convolution"
        raise UsageError(f"the model has no convolution to convert ({reasons})")
    return _apply(
        own,
        {
            "scheme": scheme,
            **asdict(made),
            **policies,
            "keep": keep,
            "order": reading.how,
            "plan": plan,
            "rectified": rectified,
            "signed_activations": signed_activations,
            "reads": reads,
            "rewritten": rewritten,
            "computed": {name: how for name, how in computed.items() if name in plan},
            "input_shape": None if input_shape is None else list(input_shape),
            "kept": kept,
        },
        {name: found.conv for name, found in plain.items() if isinstance(found, PlainConv)},
    )


def convert_from_config(model: nn.Module, config: dict) -> nn.Module:
    """A copy of the float `model`, converted exactly as the model that `config` was recorded from. Nothing is traced.

    Args:
        model: The float network; left as it is.
        config: The `paconv_conversion` of a model from `convert`.

    Returns:
        The converted copy.

    Raises:
        CheckpointError: A module of `model` doesn't fit (the first one is named), or `config` is malformed.
    """
    config = up_to_date(config)
    try:
        scheme_from_config(config)
        plan = dict(config["plan"])
        schemes = {name: _scheme_of(name, config) for name in plan}
        for name, owner in plan.items():
            if (owner is None) != (schemes[name].N is None) or (owner is not None and plan.get(owner) != owner):
                raise CheckpointError(f"conversion config: {name} uses the activation of {owner!r}, which has none")
            if owner is not None and schemes[name].N != schemes[owner].N:
                raise CheckpointError(f"conversion config: {name} uses the activation of {owner!r}, of another N")
        if strange := {*config.get("planes", {}), *config.get("biases", ())} - plan.keys():
            raise CheckpointError(f"conversion config: {min(strange)} has planes or a bias, but isn't converted")
        for kind, names in (("rectified", config["rectified"]), ("signed", config.get("signed_activations", []))):
            if not isinstance(names, list):
                raise TypeError(f"{kind} activations are a list of names, not {names!r}")
            for name in names:
                if plan.get(name) != name:
                    raise CheckpointError(f"conversion config: {name!r} is {kind}, but has no activation of its own")
        rewritten = dict(config.get("rewritten", {}))
        for name, how in rewritten.items():
            _checked_rewriting(name, how, plan)
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise CheckpointError(f"conversion config: expected what paconv.convert records; found {error!r}") from error
    model = unwrapped(model)
    modules = dict(model.named_modules())
    for name in plan:
        if name not in modules:
            raise CheckpointError(
                f"the checkpoint converts {name}, but the model has no such module; use the same model"
            )
        found = type_before_parametrizations(modules[name]).__name__
        if (reason := _ineligible(modules[name], linear=config.get("linear", "real") != "real")) is not None:
            raise CheckpointError(f"the checkpoint converts {name}, but there it is {found}: {reason[1]}")
        if isinstance(modules[name], nn.Linear):
            continue
        wanted = rewritten[name]["class"] if name in rewritten else "Conv2d"
        if found != wanted:
            raise CheckpointError(f"the checkpoint converts {name}, but there it is {found}, not {wanted}")
    try:
        own = copied(model)
        _fixed_(own, plan)
        plain = {name: _plain(name, own.get_submodule(name), how) for name, how in rewritten.items()}
        made = _apply(own, copy.deepcopy(config), plain)
        conversion_of(made, Conversion)  # whatever it needs is there too
        return made
    except (KeyError, TypeError, UsageError) as error:
        raise CheckpointError(f"conversion config: expected what paconv.convert records; found {error!r}") from error


def _fixed_(model: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Make computed weights of the layers with these names constants, in place; by what each computed them."""
    found = {name: how for name in names if (how := computed_by(model.get_submodule(name)))}
    for name in found:
        fix_(model.get_submodule(name))
    return found


def _is_outermost_script(model: nn.Module, name: str, module: nn.Module) -> bool:
    parent = name.rpartition(".")[0]
    return isinstance(module, ScriptModule) and not isinstance(model.get_submodule(parent), ScriptModule)


def _checked_names(keep: Iterable[str] | str) -> list[str]:
    names = [keep] if isinstance(keep, str) or not isinstance(keep, Iterable) else list(keep)
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"keep: expected names of layers or modules, found {type(name).__name__} ({name!r})")
    return names


def _apply(model: nn.Module, config: dict, plain: dict[str, nn.Conv2d]) -> nn.Module:
    """Replace, in `model`, what config["plan"] names; plain: what layers of derived classes are."""
    modules = dict(model.named_modules())
    activations: dict[str, ActivationQuantizer] = {}
    replaced: dict[int, nn.Module] = {}
    for name, owner in config["plan"].items():
        conv: Any = modules[name]
        scheme = _scheme_of(name, config)
        if owner is not None and owner not in activations:
            signed = owner in config.get("signed_activations", ())
            make = scheme.signed_activation if signed else scheme.activation
            quantizer = make(rectified=owner in config["rectified"])
            activations[owner] = quantizer.to(conv.weight.device, conv.weight.dtype).train(conv.training)
        if isinstance(conv, nn.Linear):
            replaced[id(conv)] = scheme.linear(conv, None if owner is None else activations[owner])
            continue
        made = scheme.layer(plain.get(name, conv), None if owner is None else activations[owner])
        if name in plain and (pads := config["rewritten"][name]["pads"]) is not None:
            made.zero_pads = tuple(pads)  # type: ignore[assignment]
        if name in config.get("biases", ()) and made.bias is None:
            made.bias = nn.Parameter(made.weight.new_zeros(len(made.weight)))
        replaced[id(conv)] = made
    for parent in modules.values():
        for key, child in parent._modules.items():  # every name of a module that has several
            if id(child) in replaced:
                parent._modules[key] = replaced[id(child)]
    model = replaced.get(id(model), model)
    model.paconv_conversion = config  # type: ignore[assignment]
    return model


def _scheme_of(name: str, config: dict) -> Scheme:
    """The scheme of the converted layer `name`, with its planes."""
    M, N = config.get("planes", {}).get(name, (config["M"], config["N"]))
    return scheme_from_config({**config, "M": M, "N": N})


def _plain(name: str, layer: Any, how: dict) -> nn.Conv2d:
    """The plain convolution that `layer` is, as `how` recorded it. Raises UsageError if it isn't that any more."""
    try:
        found = plain_conv(layer, [(height, width) for height, width in how["sizes"] or ()])
    except NotPlain as error:
        raise UsageError(f"{name}: {error}") from error
    if found.pads != (how["pads"] and tuple(how["pads"])):
        raise UsageError(
            f"{name}: {how['class']} is padded by {how['pads']} in the configuration, here by {found.pads}"
        )
    return found.conv


def _checked_rewriting(name: str, how: dict, plan: dict) -> None:
    """Raises CheckpointError, KeyError or TypeError unless `how` says how a convolution of `plan` was rewritten."""
    pads, sizes = how["pads"], how["sizes"]
    whole = all(isinstance(n, int) and n >= 0 for n in (*(pads or ()), *(n for size in sizes or () for n in size)))
    shaped = (pads is None or len(pads) == 4) and all(len(size) == 2 for size in sizes or ())
    if name not in plan or not isinstance(how["class"], str) or not isinstance(how["new_weights"], bool):
        raise CheckpointError(f"conversion config: {name!r} is rewritten as {how!r}")
    if not whole or not shaped:
        raise CheckpointError(f"conversion config: {name!r} is padded by {pads!r} for images of {sizes!r}")


def _plain_convs(
    model: nn.Module, names: list[str], input_shape: tuple[int, ...] | None, scheme: Scheme
) -> dict[str, PlainConv | str]:
    """What the layers of derived classes among `names` are, or why they are no plain convolutions."""
    layers = {name: model.get_submodule(name) for name in names}
    derived = {name: layer for name, layer in layers.items() if type(layer) not in (nn.Conv2d, nn.Linear)}
    sizes = sizes_read(model, derived, tuple(input_shape)) if derived and input_shape is not None else {}
    found: dict[str, PlainConv | str] = {}
    for name, layer in derived.items():
        assert isinstance(layer, nn.Conv2d)
        try:
            found[name] = plain = plain_conv(layer, sizes.get(name, ()))
            if plain.pads is not None and not scheme.any_padding:
                found[name] = f"{type(layer).__name__} pads opposite sides differently, which {scheme.title} can't"
        except NotPlain as error:
            found[name] = str(error)
    return found


def _how(layer: nn.Module, found: PlainConv) -> dict:
    """What the configuration says of a layer that became a plain convolution."""
    return {
        "class": type(layer).__name__,
        "pads": found.pads and list(found.pads),
        "new_weights": found.new_weights,
        "sizes": list(map(list, found.sizes)) if found.sizes else None,
    }


def _spared(
    layers: dict[str, nn.Module], reading: Reading, keep: list[str], scheme: str, policies: dict[str, str]
) -> dict[str, tuple[str, str]]:
    """Layers that stay real: name -> (code, reason)."""
    real = {option for option, value in policies.items() if value == "real"}
    order = (*reading.executed, *reading.unreached)
    first_conv = next((name for name in order if not isinstance(layers[name], nn.Linear)), None)
    outermost = {first_conv, *reading.outermost}
    last_layer = reading.executed[-1] if reading.executed else None
    heads = reading.heads or {last_layer}
    spared = {}
    for name in order:
        layer = layers[name]
        if (reason := _ineligible(layer, linear="linear" not in real, scheme=scheme)) is not None:
            spared[name] = reason
        elif any(_names(pattern, name) for pattern in keep):
            spared[name] = "kept-by-name", "named in keep"
        elif name in outermost and "first" in real:
            kind = "linear layer" if isinstance(layer, nn.Linear) else "convolution"
            which = "the first convolution" if name == first_conv else f"a {kind} of an input"
            spared[name] = "first-layer", f"{which} stays real (first={scheme!r} converts it)"
        elif name in heads and "last" in real:
            which = "the last layer" if name == last_layer else "a layer that makes an output of the model"
            spared[name] = "last-layer", f"{which} stays real (last={scheme!r} converts it)"
        elif "depthwise" in real and isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1:
            spared[name] = "depthwise", f"depthwise convolutions stay real (depthwise={scheme!r} converts them)"
        elif "shortcuts" in real and name in reading.shortcuts:
            spared[name] = "shortcut", f"1x1 convolutions on shortcuts stay real (shortcuts={scheme!r} converts them)"
    return spared


def _ineligible(layer: nn.Module, *, linear: bool, scheme: str = "pa") -> tuple[str, str] | None:
    """Why `layer` can't be approximated: (code, reason); None if it can. linear: linear layers are to be."""
    if isinstance(layer, nn.Linear):
        if not linear:
            return "linear", f"linear layers stay real (linear={scheme!r} converts them)"
        if (kind := type_before_parametrizations(layer)) is not nn.Linear:
            return "subclass", f"{kind.__name__} may compute something else than nn.Linear"
        plain = "weight" in layer._parameters or computed_by(layer)
        return None if plain else ("reparametrized", _COMPUTED)
    if not isinstance(layer, nn.Conv2d):
        return "not-conv2d", f"only nn.Conv2d is approximated, not {type(layer).__name__}"
    if is_constant(layer):
        return "constant", "its weights are constants, not trained ones"
    if "weight" not in layer._parameters and not computed_by(layer):
        return "reparametrized", _COMPUTED
    if layer.padding_mode != "zeros" and type_before_parametrizations(layer) is nn.Conv2d:
        return "padding-mode", f"padding_mode={layer.padding_mode!r} pads with activations, not with zeros"
    return None


def _names(pattern: str, layer: str) -> bool:
    """Whether `pattern` names the layer, or a module that holds it."""
    parts = layer.split(".")
    return any(fnmatchcase(".".join(parts[:n]), pattern) for n in range(1, len(parts) + 1))


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
