"""Several processes train as one does with the joint batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import paconv
from paconv.errors import UsageError
from paconv.nn.schemes import SCHEMES
from paconv.train.batches import evaluation_batches, steps_an_epoch, training_batches
from paconv.train.distributed import Ranks
from tests.train.joint_fit import joint_fit, small_source

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def of_two(tmp_path_factory) -> tuple[Path, list[dict]]:
    """The folder of PA's training, and what each of two processes found, by scheme."""
    folder = tmp_path_factory.mktemp("joint")
    script, arguments = ROOT / "tests/train/joint_fit.py", (folder / "result", folder / "run", str(free_port()))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "run", [torch.load(folder / f"result.{rank}", weights_only=True) for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_two_processes_give_the_loss_curve_and_the_weights_of_one_with_the_joint_batch(of_two, scheme):
    """In float64, where nothing but the order of sums differs. By SGD: with Adam, a wrong factor of v's and beta's
    gradients would not show.

    Tolerance: a sum of n products of unit size differs by at most n 2^-53 with its order; here n < 2^11 (2048 elements
    of a channel and batch), so 2^-42. A step passes a difference on to the next weights, whose effect on the loss grows
    by at most the factor e a step at this rate, if at all: over 8 steps by e^8 < 2^12, so 2^-30. LQ-Net's least squares
    multiply a difference by the condition of B^T B, below 2^5 here, and a tenth of it enters the basis: 2^2 at most, so
    2^-28. What is seen is 2^-44 at most. One activation on the other side of an endpoint would make 2^-14 of the loss
    (one of 16 * 64 * 16).
    """
    one = joint_fit(scheme)
    first, second = (found[scheme] for found in of_two[1])
    assert first["history"] == second["history"]
    assert all(torch.equal(first["model"][name], second["model"][name]) for name in first["model"])
    assert len(one["history"]) == 2
    for alone, joint in zip(one["history"], first["history"], strict=True):
        assert alone.keys() == joint.keys()
        for name, value in alone.items():
            assert abs(value - joint[name]) < 2**-28, name
    assert one["model"].keys() == first["model"].keys()
    for name, tensor in one["model"].items():
        assert (tensor - first["model"][name]).abs().max() < 2**-28, name


@pytest.mark.slow
def test_files_have_the_names_of_the_model_alone_without_traces_of_the_several_processes(of_two):
    folder, (found, _) = of_two
    state = torch.load(folder / "state.pt", weights_only=True)
    assert state["model"].keys() == found["pa"]["model"].keys() and len(state["random"]) == 2
    assert paconv.load(folder / "model.pt").state_dict().keys() == found["pa"]["model"].keys()


@pytest.mark.slow
def test_torchrun_trains_and_only_the_first_process_writes_and_prints(tmp_path):
    options = "--model digits_resnet --data digits --epochs 1 --batch-size 256 --no-tensorboard".split()
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    done = subprocess.run(
        [*command, "-m", "paconv", "train", *options, "-o", tmp_path / "run"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    epochs = [line for line in done.stdout.splitlines() if "epoch" in line]
    assert [line.split(",")[0] for line in epochs] == ["float: epoch 1/1", "pa: epoch 1/1"]
    assert done.stdout.count("model.pt") == 1
    (measures,) = json.loads((tmp_path / "run/history.json").read_text())
    assert 0 < measures["held_out_accuracy"] <= 1
    assert paconv.load(tmp_path / "run/model.pt").paconv_conversion["M"] == 4


def test_the_shares_of_the_processes_make_up_the_batches_of_one():
    samples = small_source().training
    options = {"seed": 4, "epoch": 2, "first_step": 1, "workers": 0}
    alone = list(training_batches(samples, 16, ranks=Ranks(), **options))
    shares = [list(training_batches(samples, 16, ranks=Ranks(rank, 4), **options)) for rank in range(4)]
    assert len(alone) == 3
    for batch, *parts in zip(alone, *shares, strict=True):
        for whole, part in zip(batch, zip(*parts, strict=True), strict=True):
            assert torch.equal(whole, torch.cat(part))


def test_every_sample_is_evaluated_by_one_process():
    samples = small_source().training
    found = [y for rank in range(3) for x, y in evaluation_batches(samples, 7, Ranks(rank, 3), 0)]
    assert len(torch.cat(found)) == 64
    assert torch.equal(torch.cat(found).sort().values, samples.labels.sort().values)


def test_a_batch_that_can_not_be_shared_equally_or_filled_is_refused():
    samples = small_source().training
    assert steps_an_epoch(samples, 24, Ranks()) == 2
    with pytest.raises(UsageError, match="can't be shared equally by 3"):
        steps_an_epoch(samples, 16, Ranks(0, 3))
    with pytest.raises(UsageError, match="only 64 samples"):
        steps_an_epoch(samples, 65, Ranks())
