"""The paper's ResNet18, 34 and 50 for 224x224 images, from their shapes alone: no file and no torch needed.

ResNet50 is v1, with the stride on the first 1x1 convolution of a bottleneck: its 3.858e9 MACs are the
paper's, v1.5 has 4.089e9. A layer that has no stored file still has names, those of torchvision.
"""

from __future__ import annotations

from paconv.errors import UsageError
from paconv.network.layers import BATCH_NORM, CONV, LINEAR, Layer, Network

__all__ = ["DEPTHS", "resnet"]

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Depth -> blocks in each of the four groups."""

_SIZE = 224
_CLASSES = 1000


def resnet(depth: int) -> Network:
    """The full-precision network of this depth. Raises UsageError for a depth other than 18, 34, 50."""
    if depth not in DEPTHS:
        raise UsageError(f"ResNet depth: expected {', '.join(map(str, DEPTHS))}; found {depth}")
    bottleneck = depth == 50
    layers = [_conv("conv1", "image", 3, 64, 7, _SIZE, _SIZE // 2)]
    channels, size = 64, _SIZE // 4
    for group, blocks in enumerate(DEPTHS[depth]):
        width = 64 << group
        out = 4 * width if bottleneck else width
        for block in range(blocks):
            small = size // 2 if group and block == 0 else size
            name = f"layer{group + 1}.{block}"
            source = f"{name}.input"
            if bottleneck:
                layers.append(_conv(f"{name}.conv1", source, channels, width, 1, size, small))
                layers.append(_conv(f"{name}.conv2", f"{name}.a1", width, width, 3, small, small))
                layers.append(_conv(f"{name}.conv3", f"{name}.a2", width, out, 1, small, small))
            else:
                layers.append(_conv(f"{name}.conv1", source, channels, width, 3, size, small))
                layers.append(_conv(f"{name}.conv2", f"{name}.a1", width, width, 3, small, small))
            if small != size or channels != out:
                layers.append(_conv(f"{name}.downsample.0", source, channels, out, 1, size, small, shortcut=True))
            channels, size = out, small
    fc = Layer("fc", LINEAR, (_CLASSES, channels), (1, channels), (1, _CLASSES), bias=_CLASSES, input_id="pooled")
    norms = [Layer(f"{layer.name}.bn", BATCH_NORM, layer.weight_shape[:1]) for layer in layers]
    return Network((*layers, fc, *norms))


def _conv(
    name: str, source: str, channels: int, out: int, kernel: int, size: int, out_size: int, shortcut: bool = False
) -> Layer:
    return Layer(
        name,
        CONV,
        (out, channels, kernel, kernel),
        input_shape=(1, channels, size, size),
        output_shape=(1, out, out_size, out_size),
        input_id=source,
        shortcut=shortcut,
        strides=(size // out_size,) * 2,
        pads=(kernel // 2,) * 4,
        dilations=(1, 1),
    )
