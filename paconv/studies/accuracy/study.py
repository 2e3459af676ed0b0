"""What is compared, and how: all that decides the outcome."""

from __future__ import annotations

from dataclasses import dataclass

from paconv.errors import UsageError
from paconv.models.registry import arguments
from paconv.studies.accuracy.systems import SYSTEMS, System
from paconv.train.settings import Settings

__all__ = ["Study"]


@dataclass(frozen=True)
class Study:
    """What is compared, and how every system is trained.

    Raises:
        UsageError: A value has no meaning.
    """

    data: tuple[str, ...] = ("digits:0.7", "synthetic")
    """Sources as `open_source` names them."""
    model: str = "digits_resnet"
    """An architecture of paconv.models."""
    systems: tuple[System, ...] = SYSTEMS
    """The schemes with their planes, and the float network."""
    seeds: int = 3
    """How many: 0, 1, ..."""
    rates: tuple[float, ...] = (1e-3, 4e-3, 1.6e-2)
    """Learning rates that every system may choose from."""
    epochs: int = 30
    """Of every system."""
    float_epochs: int = 30
    """Of the float network that they start from."""
    batch_size: int = 64
    """Of every training."""
    optimizer: str = "adam"
    """Of every training."""
    validation: float = 0.2
    """Share of the training samples that are used only to make choices."""

    def __post_init__(self) -> None:
        for what in ("data", "systems", "rates"):
            values = getattr(self, what)
            if not values:
                raise UsageError(f"{what}: expected at least one")
            if len(set(values)) < len(values):
                raise UsageError(f"{what}: one is named twice")
        if isinstance(self.seeds, bool) or not isinstance(self.seeds, int) or self.seeds < 1:
            raise UsageError(f"seeds: expected a whole number from 1; found {self.seeds!r}")
        if not 0 < self.validation < 1:
            raise UsageError(f"validation: expected a share between 0 and 1; found {self.validation:g}")
        arguments(self.model)
        for rate in self.rates:
            self.settings(0, rate, parent=True)
            self.settings(0, rate)

    def settings(self, seed: int, rate: float, parent: bool = False) -> Settings:
        """Of one training."""
        epochs = self.float_epochs if parent else self.epochs
        return Settings(epochs, self.batch_size, self.optimizer, lr=rate, seed=seed)

    @property
    def activations(self) -> tuple[str, ...]:
        """Activation functions that float networks are needed with, the ReLU first."""
        return tuple(dict.fromkeys(("relu", *map(self.activation, self.systems))))

    def activation(self, system: System) -> str:
        """Of the float network that `system` starts from; a ReLU where the architecture leaves no choice."""
        return system.activation if self._chooses else "relu"

    def architecture(self, activation: str) -> dict:
        """Arguments of the architecture that has this activation function."""
        return {"activation": activation} if self._chooses else {}

    @property
    def _chooses(self) -> bool:
        return "activation" in arguments(self.model)
