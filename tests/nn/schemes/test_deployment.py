"""Every scheme from torch to the packed model: export, optimize, verify, cost."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

import paconv
from paconv.models import resnet18
from paconv.network.extract import network
from paconv.nn import calibrate, convert, settle_batch_norm, snap_
from paconv.nn.schemes import SCHEMES
from paconv.onnx_file.loading import load_model
from tests.nn.networks import PreActivation

FORMS = {"bwn": "weights-only", "twn": "weights-only", "ttq": "weights-only"}
"""Of converted convolutions; PABitConv for all other schemes."""

CASES = [
    *((name, {}) for name in SCHEMES),
    ("pa", {"M": 3, "N": 3}),
    ("pa", {"M": 1, "N": 2}),
    ("pa", {"M": 4, "N": 5, "around_mean": True, "lambda_w": "by-M", "lambda_a": 1.0}),
    ("xnor", {"input_scaling": False}),
    ("abc", {"M": 3, "N": None}),
    ("dorefa", {"M": 3, "N": 1}),
    ("dorefa", {"M": 2, "N": None}),
    ("lqnet", {"M": 3, "N": 3}),
    ("lqnet", {"M": 3, "N": None}),
    ("syq", {"M": 2, "N": 3, "scaling": "row"}),
    ("syq", {"M": 1, "N": None, "scaling": "layer"}),
    ("syq", {"M": 1, "N": 2, "scaling": "layer", "fixed_point": False}),
    ("bireal", {"magnitude_aware": False}),
]


def trained(net, scheme: str, x: torch.Tensor, **options) -> torch.nn.Module:
    """Batch norms and quantizers that have seen data, levels on a grid."""
    torch.manual_seed(0)
    model = convert(net(), scheme=scheme, **options)
    settle_batch_norm(model, [x])
    calibrate(model, [x])
    snap_(model, batches=[x])
    return model.eval()


def case_name(case) -> str:
    return "-".join(map(str, (case[0], *case[1].values())))


# A stock onnxruntime takes long for the 15 levels of SYQ's default.
@pytest.fixture(
    scope="module",
    params=[pytest.param(case, marks=pytest.mark.slow if case_name(case) == "syq" else ()) for case in CASES],
    ids=map(case_name, CASES),
)
def deployed(request, tmp_path_factory):
    """(scheme, N given, torch model, folder with m.onnx and p.onnx, report, inputs)."""
    scheme, options = request.param
    folder = tmp_path_factory.mktemp(scheme)
    x = torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(1))
    model = trained(PreActivation, scheme, x, **options)
    paconv.export(model, folder / "m.onnx", (3, 9, 8))
    report = paconv.optimize(folder / "m.onnx", folder / "p.onnx").report
    return scheme, options, model, folder, report, x


def test_every_converted_convolution_is_lowered_exactly(deployed):
    scheme, options, _, folder, report, x = deployed
    full = options.get("N", 1) is None
    form = "weights-only" if full else FORMS.get(scheme, "bit-conv")
    assert {line.form for line in report.convs if line.converted} == {form}
    assert [line.node for line in report.convs if not line.converted] == ["stem"]
    result = paconv.verify(folder / "m.onnx", folder / "p.onnx", {"input": x.numpy()})
    assert result.ok, result.first_difference


def test_the_exported_model_computes_what_torch_does(deployed):
    *_, model, folder, _, x = deployed
    found = ort.InferenceSession(folder / "m.onnx").run(None, {"input": x.numpy()})[0]
    expected = model(x).detach().numpy()
    # Decisions are the same comparisons; only float32 sums of some 100 terms around 1 may be in another order. A
    # decision that such a difference turns would be off by a whole level.
    assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def test_the_packed_model_runs_without_the_library(deployed):
    *_, folder, _, x = deployed
    onnx.checker.check_model(onnx.load(folder / "p.onnx"), full_check=True)
    found = ort.InferenceSession(folder / "p.onnx").run(None, {"input": x.numpy()})[0]
    assert found.shape == (2, 2) and np.isfinite(found).all()


def test_the_cost_names_scheme_and_planes_in_both_files(deployed):
    scheme, options, _, folder, *_ = deployed
    made = SCHEMES[scheme](**options)
    for file in ("m.onnx", "p.onnx"):
        (planes,) = network(load_model(folder / file)).planes
        N = made.N
        M = 1 if scheme == "groupnet_layerwise" else made.M  # each base is a convolution of its own
        assert (planes.scheme, planes.M, planes.N) == (scheme, M, N)
        endpoints = {"dorefa", "lqnet", "syq"}
        assert planes.endpoints == (0 if N is None else 2**N - 1 if scheme in endpoints else N)
        levels = 2**M if scheme in ("dorefa", "lqnet") else M + 1
        assert planes.weight_levels == levels


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.parametrize("scheme", SCHEMES)
def test_resnet18_at_224_passes_in_every_scheme(scheme, tmp_path):
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    paconv.export(trained(resnet18, scheme, x), tmp_path / "m.onnx", (3, 224, 224))
    report = paconv.optimize(tmp_path / "m.onnx", tmp_path / "p.onnx").report
    kept = {"conv1"} | {f"layer{k}.0.downsample.0" for k in (2, 3, 4) if SCHEMES[scheme].real_shortcuts}
    assert {line.node for line in report.convs if not line.converted} == kept
    result = paconv.verify(tmp_path / "m.onnx", tmp_path / "p.onnx", batch=1)
    assert result.ok, result.first_difference
