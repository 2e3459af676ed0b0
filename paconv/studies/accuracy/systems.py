"""What is compared: the float network, and the schemes with their planes."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from paconv.models.activations import activation_for
from paconv.nn.schemes import Scheme, parse_scheme
from paconv.nn.schemes.spelling import FULL
from paconv.train.recipe import FLOAT

__all__ = ["SYSTEMS", "System", "parse_system"]


@dataclass(frozen=True)
class System:
    """scheme: None is the float network, trained on for as long as the others are."""

    scheme: Scheme | None

    @property
    def name(self) -> str:
        """In a word: pa:8,7, pa:4,full, float."""
        if self.scheme is None:
            return FLOAT
        return f"{self.scheme.name}:{self._planes}"

    @property
    def title(self) -> str:
        """In print: PA(8,7), PA(4,full), XNOR-Net."""
        if self.scheme is None:
            return "full precision"
        return self.scheme.title + ("" if self.scheme.fixed else f"({self._planes})")

    @property
    def _planes(self) -> str:
        assert self.scheme is not None
        return f"{self.scheme.M},{FULL if self.scheme.N is None else self.scheme.N}"

    @property
    def activation(self) -> str:
        """The activation function of the network that it starts from (paconv.models.activations)."""
        return activation_for(None if self.scheme is None else self.scheme.name)

    @property
    def options(self) -> dict:
        """What paconv.convert takes beside the scheme's name."""
        return {} if self.scheme is None else asdict(self.scheme)


def parse_system(text: str) -> System:
    """The system called `text`: float, or a scheme as `parse_scheme` has it. Raises UsageError as that does."""
    return System(None if text == FLOAT else parse_scheme(text))


SYSTEMS = tuple(
    map(
        parse_system,
        (
            "float", "pa:8,full", "pa:4,full", "pa:8,7", "pa:4,5", "abc:5,5", "groupnet_layerwise:5,1", "lqnet:2,2",
            "dorefa:2,2", "syq:1,8", "bwn", "twn", "bireal", "xnor",
        ),
    )
)  # fmt: skip
"""Those of the paper's Tables 3 and 6, and TWN."""
