"""SSD300 with a ResNet50 backbone (the paper's section 4.4; Liu et al. 2016).

    image 3x300x300 --Conv1..Conv5_x--> 38x38x512, 19x19x1024, 10x10x2048 --extras--> 5x5x256, 3x3x256, 1x1x256

and on each of the six maps a 3x3 convolution for locations (4 numbers per box) and one for confidences (classes + 1).

What is approximated: the backbone from its second convolution on. "All the convolutional layers of the head network
remain in full precision" is read so: locations, confidences, and the extras too, for they are behind the backbone.
extras="approximated" approximates those as well.

"Keep the number of feature maps the same as the original implementation" is read as six maps: those of Conv3_x, Conv4_x
and Conv5_x as they are, and three more. SSD300's own have 512, 1024, 512, 256, 256 and 256 channels, so that the map of
10x10 has 2048 here where it has 512 there. maps="ssd" is the other reading: a residual block of 512 channels behind
Conv5_x gives that map, and all six have SSD300's channels. The paper leaves open how many channels the extras have and
what their shortcuts are; ours have SSD300's 256 (see ExtraBlock). Conv3_x takes the place of VGG's conv4_3, without its
L2 norm, since its maps come from a batch norm.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paconv.errors import UsageError
from paconv.models.approximate import approximated
from paconv.models.initialize import initialize_convolutions
from paconv.models.registry import register
from paconv.models.resnet import VARIANTS
from paconv.models.ssd.backbone import Backbone
from paconv.models.ssd.extras import ExtraBlock, extra_blocks, narrowing_block
from paconv.models.ssd.priors import SSD300_MAPS

__all__ = ["SSD300", "ssd300"]

MAPS = ("backbone", "ssd")
"""Where the map of 10x10 comes from."""

_HEADS = ("locations", "confidences")


class SSD300(nn.Module):
    """Backbone, extras and heads.

    num_classes: without the background; maps: a key of MAPS; variant: the backbone's.
    """

    def __init__(self, num_classes: int, maps: str = MAPS[0], variant: str = VARIANTS[0]):
        super().__init__()
        self.num_classes = num_classes
        self.backbone = Backbone(variant)
        channels: tuple[int, ...] = self.backbone.channels
        self.narrow: ExtraBlock | None = None
        if maps == "ssd":
            self.narrow = narrowing_block(channels[-1])
            channels = (*channels[:-1], 512)
        self.extras = extra_blocks(channels[-1])
        channels = (*channels, 256, 256, 256)
        boxes = [each.boxes for each in SSD300_MAPS]
        self.locations = _heads(channels, [4 * n for n in boxes])
        self.confidences = _heads(channels, [(num_classes + 1) * n for n in boxes])
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 3, 300, 300) -> locations (B, 8732, 4), coded, and confidences (B, 8732, classes + 1).

        Confidences are logits with the background first; priors have the order of `prior_boxes`. Training takes batches
        of at least 2, since the last map is a single value per channel.
        """
        maps = list(self.backbone(x))
        if (narrow := getattr(self, "narrow", None)) is not None:  # one pickled before has none
            maps[-1] = narrow(maps[-1])
        for block in self.extras:
            maps.append(block(maps[-1]))
        return _joined(self.locations, maps, 4), _joined(self.confidences, maps, self.num_classes + 1)


@register(input_shape=(3, 300, 300))
def ssd300(
    num_classes: int = 20,
    M: int | None = None,
    N: int | None = None,
    scheme: str | None = None,
    extras: str = "real",
    maps: str = MAPS[0],
    variant: str = VARIANTS[0],
) -> nn.Module:
    """SSD300 on ResNet50.

    Args:
        num_classes: Without the background.
        M: Weight planes; None is the scheme's own number, or the float network where there is no scheme.
        N: Activation planes; None is full precision, or without M the scheme's own number.
        scheme: A quantization scheme's name; None is PA where M is given, otherwise the float network.
        extras: "real", or "approximated" to convert the layers behind the backbone too, heads excepted.
        maps: "backbone" has Conv5_x as its map of 10x10, of 2048 channels; "ssd" has 512 there, as SSD300.
        variant: The backbone's bottlenecks: "v1" or "v1.5", see `resnet50`.

    Returns:
        The network, newly initialized: in float, or converted (paconv.models.approximate has the table).

    Raises:
        UsageError: There is N without M, or the scheme is unknown or can't have these planes,
            or `extras`, `maps` or `variant` is neither.
    """
    if extras not in ("real", "approximated"):
        raise UsageError(f"extras must be 'real' or 'approximated'; found {extras!r}")
    if maps not in MAPS:
        raise UsageError(f"maps must be {' or '.join(map(repr, MAPS))}; found {maps!r}")
    behind = ("extras", *(("narrow",) if maps == "ssd" else ()))
    keep = _HEADS if extras == "approximated" else (*_HEADS, *behind)
    return approximated(SSD300(num_classes, maps, variant), M, N, scheme, keep)


def _heads(in_channels: tuple[int, ...], out_channels: list[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(i, o, 3, 1, 1) for i, o in zip(in_channels, out_channels, strict=True))


def _joined(heads: nn.ModuleList, maps: list[Tensor], values: int) -> Tensor:
    """(B, priors, values): row by row of each map, the boxes of a cell one after the other."""
    rows = [head(x).permute(0, 2, 3, 1).flatten(1) for head, x in zip(heads, maps, strict=True)]
    return torch.cat(rows, 1).unflatten(1, (-1, values))
