"""Whole models at their real input size through the command line: save, export, optimize, verify, cost."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import paconv
from paconv.nn.calibrate import settle_batch_norm

__all__ = ["Outcome", "goes_through", "paconv_command"]


@dataclass(frozen=True)
class Outcome:
    """report: of `paconv optimize`; verdict: of `paconv verify`; cost: of `paconv cost` with level indexes; size of
    pa.onnx in bytes.
    """

    report: dict
    verdict: dict
    cost: dict
    size: int

    @property
    def converted(self) -> list[dict]:
        """The report's lines of converted convolutions."""
        return [conv for conv in self.report["convs"] if conv["converted"]]


def paconv_command(folder: Path, *arguments: str) -> str:
    """What `paconv` prints, run in `folder`; it has to succeed."""
    result = subprocess.run(
        [sys.executable, "-m", "paconv", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def goes_through(folder: Path, model: nn.Module, quantized: int, size: int, *export_options: str) -> Outcome:
    """Take `model` for (3, size, size) images from save to cost; every one of its `quantized` approximated convolutions
    must be converted and verified.
    """
    N = model.paconv_conversion["N"]
    settle_batch_norm(model, [torch.randn(4, 3, size, size)])
    paconv.save(model, folder / "model.pt", input_shape=(3, size, size))
    paconv_command(folder, "export", "model.pt", *export_options)
    paconv_command(folder, "optimize", "model.onnx", "--report", "report.json")
    verdict = json.loads(paconv_command(folder, "verify", "model.onnx", "pa.onnx", "--format", "json"))
    cost = json.loads(paconv_command(folder, "cost", "pa.onnx", "--storage", "level-index", "--format", "json"))
    report = json.loads((folder / "report.json").read_text())
    outcome = Outcome(report, verdict, cost, (folder / "pa.onnx").stat().st_size)
    forms = [conv["form"] for conv in outcome.converted]
    assert forms == ["weights-only" if N is None else "bit-conv"] * quantized
    assert verdict["ok"]
    assert len(verdict["layers"]) == (0 if N is None else quantized)
    return outcome
