"""Whole ResNets at 224x224 through the command line: save, export, optimize, verify. `make test-all` runs them."""

import pytest
import torch

import paconv
from paconv import models
from paconv.nn.calibrate import settle_batch_norm
from tests.whole_models import goes_through, paconv_command

QUANTIZED = {"resnet18": 19, "resnet34": 35, "resnet50": 52}
"""Convolutions but the first one: 1x1 downsamples are quantized too."""

HANDWRITTEN = """
import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, into, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.project = stride != 1 or into != out
        if self.project:
            self.down = nn.Conv2d(into, out, 1, stride, bias=False)
            self.down_bn = nn.BatchNorm2d(out)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.down_bn(self.down(x)) if self.project else x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.stem_bn = nn.BatchNorm2d(64)
        self.blocks = nn.ModuleList([Block(64, 64, 1), Block(64, 128, 2), Block(128, 128, 1), Block(128, 256, 2)])
        self.head = nn.Linear(256, 1000)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.stem_bn(self.stem(x))), 3, 2, 1)
        for block in self.blocks:
            x = block(x)
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def make():
    return Net()
"""


def goes_through_and_stays_small(folder, model, quantized: int, *export_options: str) -> None:
    outcome = goes_through(folder, model, quantized, 224, *export_options)
    assert outcome.size <= 1.05 * outcome.cost["totals"]["bits"] / 8


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.parametrize(("M", "N"), [(4, 5), (8, 7), (4, None)])
@pytest.mark.parametrize("name", list(QUANTIZED))
def test_a_resnet_goes_through_export_optimize_and_verify_with_every_quantized_conv_converted(tmp_path, name, M, N):
    torch.manual_seed(0)
    goes_through_and_stays_small(tmp_path, models.build(name, M=M, N=N), QUANTIZED[name])


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.parametrize("name", list(QUANTIZED))
def test_a_resnet_goes_through_under_bireal_with_its_shortcuts_real(tmp_path, name):
    torch.manual_seed(0)
    shortcuts = 4 if name == "resnet50" else 3
    goes_through_and_stays_small(tmp_path, models.build(name, scheme="bireal"), QUANTIZED[name] - shortcuts)


@pytest.mark.slow
def test_a_handwritten_resnet_with_functional_relu_and_add_goes_the_same_way(tmp_path):
    torch.manual_seed(0)
    (tmp_path / "handwritten.py").write_text(HANDWRITTEN)
    namespace: dict = {}
    exec(HANDWRITTEN, namespace)
    model = paconv.convert(namespace["make"](), M=4, N=5)
    goes_through_and_stays_small(tmp_path, model, 10, "--model", "handwritten:make")


@pytest.mark.slow
@pytest.mark.whole
def test_a_dynamic_image_size_gives_one_file_for_several_sizes(tmp_path):
    torch.manual_seed(0)
    model = models.resnet18(M=4, N=5)
    settle_batch_norm(model, [torch.randn(4, 3, 224, 224)])
    paconv.save(model, tmp_path / "model.pt", input_shape=(3, 224, 224))
    paconv_command(tmp_path, "export", "model.pt", "--dynamic-size")
    paconv_command(tmp_path, "optimize", "model.onnx")
    for size in ((224, 224), (96, 160)):
        x = torch.randn(1, 3, *size).numpy()
        result = paconv.verify(tmp_path / "model.onnx", tmp_path / "pa.onnx", {"input": x})
        assert result.ok, result.first_difference
