"""Training and post-training on another device give what the CPU gives.

All in float64. A device adds in its own order: a sum of n terms is off by n u of the terms' magnitudes, u = 2**-53. The
longest sums here are of 64 images of 8x8 pixels, 4096 terms, in 10 layers and 8 steps of training, each of which hands
on what the last one left and multiplies it by factors whose product stays below 1000. Decisions between levels turn
only where a value is that near an endpoint. With this seed none is: weights off by 2**-50 change no result by more than
1e-12 under any scheme (with others they do: a batch norm of a channel that is constant gives 0 or a rounding).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import paconv
from paconv.models import digits_resnet
from paconv.nn import calibrate, snap_
from paconv.nn.schemes import SCHEMES
from paconv.train import Settings, Watcher, fit
from tests.train.joint_fit import small_source

ROOT = Path(__file__).resolve().parents[2]
IMPORTING = {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
"""Variables of a process that is to find paconv and its tests."""
TOLERANCE = 4096 * 10 * 8 * 1000 * 2.0**-53
"""Of a tensor, relative to its largest magnitude."""


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, want in expected.items():
        have = found[name].cpu()
        if not want.is_floating_point():
            assert torch.equal(have, want), name
            continue
        scale = want.abs().max().clamp(min=1.0) if want.numel() else 1.0
        assert torch.all((have - want).abs() <= TOLERANCE * scale), name


def converted(scheme: str = "pa") -> torch.nn.Module:
    torch.manual_seed(2)
    return paconv.convert(digits_resnet(4, width=4), scheme=scheme).double()


def images(device: str) -> torch.Tensor:
    return small_source().training.batch([(0, i) for i in range(32)])[0].double().to(device)


def trained(device: str, scheme: str = "pa", **options) -> dict[str, torch.Tensor]:
    model = converted(scheme)
    calibrate(model, [images("cpu")])
    fit(model, small_source(), Settings(2, batch_size=16, optimizer="sgd", lr=0.01), device=device, **options)
    return model.state_dict()


@pytest.mark.parametrize("scheme", [pytest.param(s, marks=[] if s == "pa" else pytest.mark.gpu) for s in SCHEMES])
def test_training_gives_the_weights_that_the_cpu_gives(device, scheme):
    assert_close(trained(device, scheme), trained("cpu", scheme))


class Stop(Watcher):
    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self, progress) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_training_that_is_resumed_gives_the_weights_of_one_that_was_not_stopped(device, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained(device, output=tmp_path, checkpoint_steps=1, watchers=[Stop(6)])
    assert_close(trained(device, output=tmp_path, resume=True), trained("cpu"))


def test_calibrating_and_snapping_give_the_levels_that_the_cpu_gives(device):
    states = []
    for where in (device, "cpu"):
        model = converted().to(where)
        calibrate(model, [images(where)])
        snap_(model)
        states.append(model.state_dict())
    assert_close(*states)


@pytest.mark.slow
def test_the_command_trains_on_the_device_and_what_it_saves_is_read_without_one(device, tmp_path):
    there = os.environ | IMPORTING
    train = f"train --model digits_resnet --data digits --epochs 1 --float-epochs 1 --no-tensorboard --device {device}"
    for arguments, environment in (
        (f"{train} -o run", there),
        ("export run/model.pt -o model.onnx", there | {"CUDA_VISIBLE_DEVICES": ""}),
    ):
        command = [sys.executable, "-m", "paconv", *arguments.split()]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "model.onnx").stat().st_size > 0


@pytest.mark.slow
def test_a_network_on_the_device_is_quantized_as_on_the_cpu(device, tmp_path):
    models = []
    for where in (device, "cpu"):
        torch.manual_seed(0)
        network = digits_resnet(4, width=4).eval().to(where)
        made = paconv.quantize(network, images("cpu").float().numpy(), input_shape=(1, 8, 8), fast=True)
        models.append(made.model.SerializeToString())
    assert models[0] == models[1]


@pytest.mark.slow
def test_the_processes_of_a_group_exchange_what_they_should_on_the_device(device, tmp_path):
    """NCCL takes one process a device: a group of one, whose DistributedDataParallel changes nothing."""
    environment = os.environ | IMPORTING | {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0",
                                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(29500 + os.getpid() % 2000)}  # fmt: skip
    command = [sys.executable, "-m", "tests.gpu.group_of_one", device]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    backends, difference = done.stdout.split()
    assert ("nccl" in backends) == (device == "cuda")
    assert float(difference) <= TOLERANCE
