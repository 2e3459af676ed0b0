"""A trained network of the comparison as what is deployed: model.onnx, pa.onnx, what they cost, what they say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from paconv.checkpoint import load
from paconv.cost import count
from paconv.cost.source import network_of_file
from paconv.pipeline import optimize
from paconv.runtime.session import InferenceSession
from paconv.studies.accuracy.records import read_record, write_record
from paconv.studies.accuracy.runs import Run
from paconv.to_onnx.exporter import export
from paconv.train.batches import evaluation_batches
from paconv.train.data import CLASSIFICATION, open_source
from paconv.train.distributed import Ranks
from paconv.train.fit import MODEL
from paconv.verification.verify import verify

__all__ = ["Deployed", "deploy"]

_RECORD = "deployed.json"
_BATCH = 64


@dataclass(frozen=True)
class Deployed:
    """What became of a trained network as pa.onnx."""

    bits: int
    """As `paconv cost` counts them by the paper's rules."""
    flops: float
    """As `paconv cost` counts them by the paper's rules."""
    file_bytes: int
    """Size of pa.onnx; of model.onnx for the float network."""
    verified: bool | None
    """Whether `paconv verify` found pa.onnx to be model.onnx's function; None for the float network."""
    same: int | None
    """Held-out samples that onnxruntime and torch give the same class; None for a detector."""
    samples: int
    """Of how many."""


def deploy(run: Run, root: Path) -> Deployed:
    """Export, optimize, verify and serve the network that `run` trained below `root`, once."""
    folder = root / run.folder
    done = read_record(folder / _RECORD, Deployed, "deployment", "deploy")
    if done is not None:
        return done
    served, verified = folder / "model.onnx", None
    export(folder / MODEL, served)
    if run.system.scheme is not None:
        optimize(served, folder / "pa.onnx")
        verified = verify(served, folder / "pa.onnx").ok
        served = folder / "pa.onnx"
    totals = count(network_of_file(served)).totals
    same, samples = _agreement(run, folder, served)
    deployed = Deployed(totals.bits, float(totals.flops), served.stat().st_size, verified, same, samples)
    write_record(deployed, folder / _RECORD)
    return deployed


def _agreement(run: Run, folder: Path, served: Path) -> tuple[int | None, int]:
    source = open_source(run.data, seed=run.seed)
    if source.task != CLASSIFICATION or source.held_out is None:
        return None, 0
    model = load(folder / MODEL)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(served, options)
    same = samples = 0
    for images, _ in evaluation_batches(source.held_out, _BATCH, Ranks(), 0):
        (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        want = model(images).argmax(1).numpy()
        same += int(np.sum(found.argmax(1) == want))
        samples += len(images)
    return same, samples
