"""How to train: everything that, beside model and data, decides what comes out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from paconv.errors import UsageError
from paconv.near import did_you_mean

__all__ = ["OPTIMIZERS", "SCHEDULES", "Settings"]

SCHEDULES = ("cosine", "step")
OPTIMIZERS = {"adam": (2e-3, 1e-2), "sgd": (0.05, 1e-4)}
"""Optimizer -> learning rate and weight decay where none are given."""

_MOST_RATE = 1e6
"""Larger ones are no rates: float32 has no such steps."""

_MOST_EPOCHS = 10**6
"""More would never end."""


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    Raises:
        UsageError: A setting is invalid (it is named).
    """

    epochs: int
    """Passes over the training samples."""
    batch_size: int = 64
    """Over all processes together."""
    optimizer: str = "adam"
    """By name: "adam" (decoupled weight decay) or "sgd"."""
    lr: float | None = None
    """Learning rate; None for that of OPTIMIZERS."""
    momentum: float = 0.9
    """Of sgd."""
    weight_decay: float | None = None
    """None for that of OPTIMIZERS."""
    schedule: str = "cosine"
    """By name: "cosine" to 0, or "step"."""
    decay: float = 0.1
    """Factor of a step (Algorithm 1's lambda)."""
    decay_every: int | None = None
    """Epochs between steps; None for a third of all."""
    warmup: float = 0.0
    """Epochs in which the rate rises from 0."""
    seed: int = 0
    """Of the order of the data, their augmentation, and torch's, numpy's and Python's random numbers."""

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            near = did_you_mean(self.optimizer, OPTIMIZERS)
            raise UsageError(f"optimizer must be one of {', '.join(OPTIMIZERS)}; found {self.optimizer!r}{near}")
        if self.schedule not in SCHEDULES:
            near = did_you_mean(self.schedule, SCHEDULES)
            raise UsageError(f"schedule must be one of {', '.join(SCHEDULES)}; found {self.schedule!r}{near}")
        for name, least in (("epochs", 1), ("batch_size", 1), ("decay_every", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is None and name == "decay_every":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"{name} must be a whole number from {least}; found {value!r}")
        if self.decay_every is not None and self.decay_every > _MOST_EPOCHS:
            raise UsageError(f"decay_every must be at most {_MOST_EPOCHS}; found {self.decay_every}")
        if self.seed >= 1 << 63:
            raise UsageError(f"seed must be below 2**63; found {self.seed}")
        for name, low, high in (
            ("lr", 0, _MOST_RATE), ("momentum", 0, 1), ("weight_decay", 0, _MOST_RATE), ("decay", 0, 1),
            ("warmup", 0, self.epochs),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is None and name in ("lr", "weight_decay"):
                continue
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not low <= value <= high:
                raise UsageError(f"{name} must be a number from {low} to {high}; found {value!r}")

    def resolved(self) -> Settings:
        """The same with the values that None stands for."""
        lr, weight_decay = OPTIMIZERS[self.optimizer]
        return replace(
            self,
            lr=lr if self.lr is None else self.lr,
            weight_decay=weight_decay if self.weight_decay is None else self.weight_decay,
            decay_every=max(1, -(-self.epochs // 3)) if self.decay_every is None else self.decay_every,
        )

    def as_dict(self) -> dict:
        """JSON values by name, resolved."""
        return asdict(self.resolved())
