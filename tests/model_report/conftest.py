"""The demo's net, exported and optimized once, and what its report says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from paconv.model_report.analysis import analyse
from paconv.model_report.contents import Report
from paconv.pipeline import optimize
from paconv.to_onnx.exporter import export

CHECKPOINT = Path(__file__).parents[2] / "examples" / "digits_pa45.pt"


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    """Folder with model.onnx and pa.onnx."""
    folder = tmp_path_factory.mktemp("sample")
    export(CHECKPOINT, folder / "model.onnx")
    optimize(folder / "model.onnx", folder / "pa.onnx")
    return folder


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 2, (4, 1, 8, 8)).astype(np.float32)


@pytest.fixture(scope="session")
def alone(sample) -> Report:
    """Of pa.onnx and nothing else, not measured."""
    return analyse(sample / "pa.onnx", seconds=None)


@pytest.fixture(scope="session")
def full(sample, digits) -> Report:
    """With the exported reference and samples, measured."""
    return analyse(sample / "pa.onnx", reference=sample / "model.onnx", inputs={"input": digits}, seconds=0.1)
