"""Run as a process: group_of_one DEVICE. Gradients with and without DistributedDataParallel in a group of this process.

Prints the group's backends and the largest difference, relative to the largest gradient.
"""

from __future__ import annotations

import copy
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import paconv
from paconv.models import digits_resnet
from paconv.nn import calibrate
from paconv.train.distributed import joined_processes
from paconv.train.sync_batch_norm import synchronized_batch_norms
from tests.train.joint_fit import small_source


def gradients(model: nn.Module, called: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    nn.functional.cross_entropy(called(x), y).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def main() -> None:
    device = sys.argv[1]
    torch.manual_seed(0)
    x, y = small_source().training.batch([(0, i) for i in range(32)])
    x, y = x.double().to(device), torch.as_tensor(y).to(device)
    model = paconv.convert(digits_resnet(4, width=4)).double().to(device)
    calibrate(model, [x])
    alone = copy.deepcopy(model).train()
    expected = gradients(alone, alone, x, y)
    with joined_processes(device) as ranks, synchronized_batch_norms(model.train()):
        found = gradients(model, DistributedDataParallel(model), x, y)
        assert torch.equal(ranks.sum(x), x) and torch.equal(ranks.sum(x.cpu()), x.cpu())
        assert ranks.gather("all") == ["all"]
        ranks.check_equal(model)
        difference = (found - expected).abs().max() / expected.abs().max()
        print(dist.get_backend_config(), float(difference))


if __name__ == "__main__":
    main()
