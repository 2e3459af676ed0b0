"""`paconv quantize --checkpoint`: the quantized network for paconv train --from."""

from __future__ import annotations

import numpy as np
import torch

import paconv
from paconv.models import digits_resnet


def test_a_torch_checkpoint_gives_one_and_an_onnx_file_is_refused_in_one_line(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    paconv.save(digits_resnet(), "float.pt", (1, 8, 8))
    np.savez("images.npz", input=np.random.default_rng(0).random((32, 1, 8, 8), np.float32))
    data = ("--data", "images.npz", "--fast", "-q")
    code, out, err = run("quantize", "float.pt", *data, "--checkpoint", "quantized.pt")
    assert code == 0, err
    assert out.startswith("model.onnx: ") and paconv.load("quantized.pt").paconv_conversion["M"] == 4
    paconv.export("float.pt", "float.onnx")
    code, out, err = run("quantize", "float.onnx", *data, "-o", "other.onnx", "--checkpoint", "other.pt")
    assert (code, out) == (1, "") and err.count("\n") == 1 and "--checkpoint" in err
    assert not (tmp_path / "other.pt").exists() and not (tmp_path / "other.onnx").exists()
