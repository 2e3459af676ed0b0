"""Data to train on: sources by name, as the command line has them.

folder:PATH                      ImageNet-style folder of images
voc:PATH[:TRAINING[,HELD_OUT]]   VOC-style folder of annotated images, and names of its image sets
mnist:PATH                       MNIST's four files in a folder
digits[:NOISE]                   scikit-learn's handwritten digits, with noise of this standard deviation
synthetic                        shapes filled with stripes
"""

from __future__ import annotations

from math import inf, nan

from paconv.errors import UsageError
from paconv.input_shape import MAX_VALUES
from paconv.near import did_you_mean
from paconv.train.data.in_memory import InMemory
from paconv.train.data.samples import CLASSIFICATION, DETECTION, DataSource, Samples

__all__ = ["CLASSIFICATION", "DETECTION", "DataSource", "InMemory", "Samples", "open_source"]


def open_source(spec: str, *, seed: int = 0, size: int | None = None) -> DataSource:
    """The source that `spec` names.

    Args:
        spec: "digits", "digits:NOISE", "synthetic", "folder:PATH", "voc:PATH" or "mnist:PATH".
        seed: Of augmentation.
        size: Side of the network's images in pixels, if the source leaves it open; None is 224 for folder, 300 for voc
            and 28 for mnist.

    Raises:
        UsageError: The spec has no meaning.
        DataError: The data aren't what was expected.
    """
    kind, colon, path = spec.partition(":")
    if kind in ("folder", "voc", "mnist") and not path:
        raise UsageError(f"data: expected {kind}:PATH, found {spec!r}")
    if kind in ("digits", "synthetic") and size is not None:
        raise UsageError(f"data: {kind} takes no size; found {size}")
    if size is not None and 3 * size**2 > MAX_VALUES:
        raise UsageError(f"data: expected images of at most {MAX_VALUES} values, found 3x{size}x{size}")
    if kind == "digits":
        from paconv.train.data.digits import digits

        return digits(seed, _noise(spec, path) if colon else 0.0)
    if kind == "synthetic" and colon:
        raise UsageError(f"data: synthetic takes nothing more; found {spec!r}")
    if kind == "synthetic":
        from paconv.train.data.synthetic import synthetic

        return synthetic(seed)
    if kind == "folder":
        from paconv.train.data.folder import folder

        return folder(path, seed, size or 224)
    if kind == "voc":
        from paconv.train.data.voc import voc

        return voc(path, seed, size or 300)
    if kind == "mnist":
        from paconv.train.data.mnist import mnist_source

        return mnist_source(path, seed, size or 28)
    near = did_you_mean(kind, ("folder", "voc", "mnist", "digits", "synthetic"), spec.removeprefix(kind))
    raise UsageError(f"data: expected folder:PATH, voc:PATH, mnist:PATH, digits or synthetic; found {spec!r}{near}")


def _noise(spec: str, text: str) -> float:
    try:
        noise = float(text)
    except ValueError:
        noise = nan
    if not 0 <= noise < inf:
        raise UsageError(f"data: expected digits:NOISE with a number from 0, such as digits:1; found {spec!r}")
    return noise
