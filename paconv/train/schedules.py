"""The learning rate as a function of the steps done, so that a resumed training needs no state for it.

t: steps done, S: steps per epoch, E: epochs, w: epochs of warm-up, eta: the rate of the settings:

    t < w S      eta (t + 1) / (w S)
    "cosine"     eta (1 + cos(pi (t - w S) / (E S - w S))) / 2
    "step"       eta decay^k, k = floor(t / (S decay_every))

"step" is Algorithm 1's decay, taken outside of its loop over the layers.
"""

from __future__ import annotations

from math import cos, pi

from paconv.train.settings import Settings

__all__ = ["learning_rate"]


def learning_rate(settings: Settings, step: int, steps_an_epoch: int) -> float:
    """The rate of step `step`, 0 for the first. settings: resolved."""
    assert settings.lr is not None
    warmup = settings.warmup * steps_an_epoch
    if step < warmup:
        return settings.lr * min(1.0, (step + 1) / warmup)
    if settings.schedule == "cosine":
        return settings.lr * (1 + cos(pi * (step - warmup) / (settings.epochs * steps_an_epoch - warmup))) / 2
    assert settings.decay_every is not None
    return settings.lr * settings.decay ** (step // (steps_an_epoch * settings.decay_every))
