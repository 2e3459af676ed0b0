"""`paconv.report`: a packed file, and what may be given beside it, as one HTML file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from paconv.extras import check_installed
from paconv.files import replacing
from paconv.model_report.analysis import SECONDS, analyse
from paconv.model_report.contents import Report
from paconv.verification.inputs import read_inputs

__all__ = ["report"]


def report(
    model: str | os.PathLike,
    output: str | os.PathLike = "report.html",
    *,
    reference: str | os.PathLike | None = None,
    inputs: str | os.PathLike | Mapping[str, np.ndarray] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    seconds: float | None = SECONDS,
    int8: bool = False,
    progress: Callable[[str], None] = lambda what: None,
) -> Report:
    """Show what became of a network: one HTML file that needs nothing but a browser.

    Args:
        model: The packed file, from `paconv.optimize`.
        output: The HTML file to write.
        reference: The float network that it was made from (.onnx), or the exported model.onnx. With it, weights have
            histograms, and errors are known.
        inputs: Samples, as an .npz file or by the names of the inputs. With them, activations have histograms.
        input_shapes: Sizes of free dimensions without the batch; those of `inputs` without them.
        seconds: How long to measure; None for predictions alone.
        int8: Measure onnxruntime's 8-bit form of the float network too.
        progress: Called with what is done next.

    Returns:
        What the file says, as plain data.

    Raises:
        ModelError: A file can't be used, or a model doesn't run.
        UsageError: jinja2 isn't installed, a dimension stays free, or reference or inputs don't fit.
        PaconvError: The file can't be written.
    """
    check_installed("jinja2", "the report")
    from paconv.model_report.render import html

    arrays = inputs if inputs is None or isinstance(inputs, Mapping) else read_inputs(inputs)
    with replacing(output) as temporary:  # a folder that isn't there is found before anything is measured
        found = analyse(
            model, reference=reference, inputs=arrays, input_shapes=input_shapes, seconds=seconds, int8=int8,
            progress=progress,
        )  # fmt: skip
        temporary.write_text(html(found), encoding="utf-8")
    return found
