"""Several processes that train one model: who they are, and what they exchange.

`torchrun` starts K processes and says in the environment which is which. With the joint loss L = (1/K) sum_k L_k, L_k
the mean over the share of process k,

    dL/dp = (1/K) sum_k dL_k/dp

which is what DistributedDataParallel computes, for every parameter p whose gradient is linear in the output gradients.
PA's v and beta aren't such: each process scales by 1/sqrt(numel(A_k) N) where the joint batch has 1/sqrt(numel(A) N),
numel(A) = K numel(A_k). Hence theirs are divided by sqrt(K).

What a forward learns from its batch without a gradient is summed over the processes where it is learnt: batch norms'
statistics (paconv.train.sync_batch_norm) and LQ-Net's basis of activations (paconv.nn.schemes.lq_net). All other
statistics of the schemes are of weights, which are equal, or of single windows of the input.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import sqrt

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from paconv.errors import TrainingError
from paconv.nn.joint import joint_sum
from paconv.nn.quantizers import PAActivation
from paconv.train.sync_batch_norm import synchronized_batch_norms

__all__ = ["Ranks", "current_ranks", "joined_processes", "parallel"]


@dataclass(frozen=True)
class Ranks:
    """This process is number `rank` of `count`."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether it is this process that writes and prints."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum of `values` (...) over the processes, the same in each."""
        return joint_sum(values)

    def gather(self, value: object) -> list:
        """Everyone's `value`, by rank."""
        if self.count == 1:
            return [value]
        found: list = [None] * self.count
        dist.all_gather_object(found, value)
        return found

    def check_equal(self, model: nn.Module) -> None:
        """Raise TrainingError unless `model` is the same, bit for bit, in every process."""
        if self.count > 1:
            sums = [t.detach().double().sum().reshape(1).cpu() for t in model.state_dict().values()]
            fingerprints = self.gather(torch.cat(sums).numpy().tobytes())
            if len(set(fingerprints)) > 1:
                raise TrainingError("the processes no longer have the same model; resume from the last checkpoint")


def current_ranks() -> Ranks:
    """The processes joined by `joined_processes`, or by the caller; otherwise this one alone."""
    if dist.is_available() and dist.is_initialized():
        return Ranks(dist.get_rank(), dist.get_world_size())
    return Ranks()


@contextmanager
def joined_processes(device: str = "cpu") -> Iterator[Ranks]:
    """Within it, the processes that torchrun started are one group; a process started otherwise is alone."""
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield current_ranks()
        return
    # On CUDA too, what is counted lies in the CPU's memory, where NCCL doesn't reach.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
    yield current_ranks()
    dist.destroy_process_group()  # not after an error: the others may still be waiting for this one


@contextmanager
def parallel(model: nn.Module, ranks: Ranks) -> Iterator[nn.Module]:
    """What to call for a forward in training. Everyone's model becomes that of rank 0; gradients are the joint batch's.

    `model` has synchronized batch norms within it.
    """
    if ranks.count == 1:
        yield model
        return
    with ExitStack() as stack:
        stack.enter_context(synchronized_batch_norms(model))
        for module in model.modules():
            if isinstance(module, PAActivation):
                for parameter in filter(lambda p: p.requires_grad, (module.v, module.beta)):
                    stack.callback(parameter.register_hook(lambda g: g / sqrt(ranks.count)).remove)
        # It shares buffers out at each forward, though synchronized batch norms keep them equal: how to tell it not to
        # depends on torch's release.
        yield DistributedDataParallel(model)
