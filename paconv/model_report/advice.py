"""What would help most: each piece derived from numbers that the report shows.

slower than float     seconds of the layer beside those of its float form; leaving it real saves the difference
lanes not filled      at most the part of the layer's time in which its kernel works on padding
more levels           ceil(log2(M+1)) bits store a weight: M grows for nothing up to the next power of two
dead levels           a level that no weight, or no activation on the samples, has
real layers           the part of the time that no quantization of the others can take away
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from paconv.bits import code_bits
from paconv.model_report.contents import Advice, LayerPart
from paconv.model_report.words import EQUAL, error, factor, percent, seconds

__all__ = ["advice"]

_FILLED = 0.8
"""Below it, channels waste lanes."""

_LARGE = 0.2
"""A part of the time that is worth a word."""

_WORTH = 0.01
"""Part of the network's time below which saving isn't worth advice."""

_WORST = 3
"""Layers that more levels are advised for."""

_FINE = 0.01
"""A squared error that more levels need not lower: 20 dB."""

_ALLOWED_M = (2, 4, 6, 8)
_ALLOWED_N = 8


def advice(layers: Sequence[LayerPart], total: float | None) -> tuple[Advice, ...]:
    """What helps most first. total: seconds of all nodes, of the same origin as those of layers."""
    found = [
        *_slower(layers, total or 0.0),
        *_lanes(layers, total or 0.0),
        *_real(layers, total or 0.0),
        *_levels(layers),
        *_dead(layers),
    ]
    return tuple(sorted(found, key=lambda a: -a.saves))


def _named(layers: Iterable[LayerPart]) -> tuple[tuple[str, str], ...]:
    return tuple((layer.id, layer.label) for layer in layers)


def _slower(layers: Sequence[LayerPart], total: float) -> Iterable[Advice]:
    slow = [(layer, layer.gain) for layer in layers if not layer.real]
    slow = [(layer, gain) for layer, gain in slow if gain is not None and gain * EQUAL < 1]
    slow.sort(key=lambda pair: (pair[0].float_seconds or 0) - (pair[0].seconds or 0))
    saved = sum((layer.seconds or 0) - (layer.float_seconds or 0) for layer, _ in slow)
    if not slow or saved < _WORTH * total:
        return
    worst = "; ".join(
        f"{layer.label} takes {seconds(layer.seconds or 0)}, in float {seconds(layer.float_seconds or 0)}"
        for layer, _ in slow[:_WORST]
    )
    yield Advice(
        f"Leave real what is slower than float: {len(slow)} layer{'s' if len(slow) > 1 else ''}",
        f"{worst}. Left real, that would be {seconds(saved)} less ({percent(saved / total)} of all nodes' "
        "time): "
        "paconv.convert's keep and paconv quantize --keep take their names. A layer left real between quantized ones "
        "also parts a chain, so measure again.",
        _named(layer for layer, _ in slow),
        saved,
    )


def _lanes(layers: Sequence[LayerPart], total: float) -> Iterable[Advice]:
    wasted = [layer for layer in layers if layer.filling is not None and layer.filling < _FILLED and layer.seconds]
    saved = sum((layer.seconds or 0) * (1 - (layer.filling or 1)) for layer in wasted)
    if not wasted or saved < _WORTH * total:
        return
    worst = max(wasted, key=lambda layer: (layer.seconds or 0) * (1 - (layer.filling or 1)))
    some = f"{len(wasted)} layer{'s fill' if len(wasted) > 1 else ' fills'}"
    yield Advice(
        "Choose widths that fill the lanes",
        f"{some} less than {percent(_FILLED)} of what the kernel works on at once; most is lost in {worst.label}, "
        f"{percent(worst.filling or 1)} filled: {worst.filling_text}. Up to {seconds(saved)} "
        f"({percent(saved / total)} of all nodes' time) goes into padding.",
        _named(wasted),
        saved,
    )


def _real(layers: Sequence[LayerPart], total: float) -> Iterable[Advice]:
    large = [layer for layer in layers if layer.real and (layer.seconds or 0) > _LARGE * total > 0]
    for layer in large:
        part = (layer.seconds or 0) / total
        yield Advice(
            f"Look at {layer.label}, which is real",
            f"It takes {seconds(layer.seconds or 0)}, {percent(part)} of all nodes' time: however fast the others "
            f"get, the network stays below {factor(1 / part)} of its present speed. {layer.real_reason}",
            _named([layer]),
            0.0,
        )


def _levels(layers: Sequence[LayerPart]) -> Iterable[Advice]:
    judged = [
        (found, layer)
        for layer in layers
        if (found := _error(layer)) is not None and found > _FINE and not layer.digits
    ]
    judged.sort(key=lambda pair: -pair[0])
    worst = [layer for _, layer in judged[:_WORST]]
    if not worst:
        return
    texts = []
    for found, layer in judged[:_WORST]:
        assert layer.planes is not None
        M, N = layer.planes
        larger = next((m for m in _ALLOWED_M if m > M), None)
        costs = []
        if larger is not None:
            before, after = code_bits(M + 1), code_bits(larger + 1)
            costs.append(
                f"M={larger} stores {after} bits a weight" + (", as now" if before == after else f" ({before} now)")
            )
        if N is not None and _ALLOWED_N > N:
            costs.append(f"N={N + 1} costs no memory")
        texts.append(f"{layer.label}: {error(found)}" + (f" ({', '.join(costs)})" if costs else ""))
    yield Advice(
        "Give more levels where the error is largest",
        "; ".join(texts) + ". An output's error has in it what the layers before made. "
        "Level codes take as long whatever M and N are; bit planes take M·N times as long. Without training, paconv "
        "quantize --scheme pa:5,7,digits has 32 and 128 levels in 5 and 7 planes.",
        _named(worst),
        0.0,
    )


def _error(layer: LayerPart) -> float | None:
    if layer.output_error is not None:
        return layer.output_error
    errors = [s.error for s in (layer.weights, layer.activations) if s is not None and s.error is not None]
    return max(errors, default=None)


def _dead(layers: Sequence[LayerPart]) -> Iterable[Advice]:
    # of binary digits, one level less is no plane less
    few = [la for la in layers if not la.digits]
    levels = [la for la in few if any(side and side.dead_levels for side in (la.weights, la.activations))]
    if levels:
        yield Advice(
            "Take away levels that nothing uses",
            f"{len(levels)} layer{'s have' if len(levels) > 1 else ' has'} a level that no weight, or no activation on "
            "the samples, ever takes: fewer levels would give the same outputs, or calibrating anew would use them.",
            _named(levels),
            0.0,
        )
    channels = [la for la in layers if any(side and side.dead_channels for side in (la.weights, la.activations))]
    if channels:
        text = "; ".join(f"{la.label}: {_dead_channels(la)}" for la in channels[:_WORST])
        more = f", and {len(channels) - _WORST} layers more" if len(channels) > _WORST else ""
        yield Advice(
            "Take away channels that say nothing",
            f"{text}{more}. What is always the same can be a bias of the next layer.",
            _named(channels),
            0.0,
        )


def _dead_channels(layer: LayerPart) -> str:
    parts = []
    if layer.weights is not None and layer.weights.dead_channels:
        parts.append(
            f"{layer.weights.dead_channels} of {layer.weights.channels} output channels have weights of 0 alone"
        )
    if layer.activations is not None and layer.activations.dead_channels:
        read = layer.activations
        parts.append(f"{read.dead_channels} of {read.channels} input channels never change on the samples")
    return ", ".join(parts)
