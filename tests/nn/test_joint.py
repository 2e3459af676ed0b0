"""A sum over the processes, where there are none. With several: tests/train/test_joint_batch.py."""

import torch

from paconv.nn.joint import joint_sum


def test_without_processes_the_sum_is_the_value_itself():
    values = torch.tensor([1.0, 2.0])
    assert joint_sum(values) is values
