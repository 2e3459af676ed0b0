"""Classification: loss, accuracy, and labels without a logit."""

from __future__ import annotations

from math import log

import pytest
import torch

from paconv.errors import UsageError
from paconv.train.distributed import Ranks
from paconv.train.tasks import Classification, task_of
from tests.train.joint_fit import small_source


def test_the_task_is_that_of_the_data():
    assert isinstance(task_of(small_source()), Classification)


def test_measures_are_over_all_samples_and_not_over_batches():
    meter = Classification().meter()
    order = torch.arange(7.0).flip(0)  # the best class is 0, then 1, ...
    meter.add(order.repeat(3, 1), torch.tensor([0, 1, 4]))
    meter.add(order.repeat(1, 1), torch.tensor([6]))
    found = meter.result(Ranks())
    total = log(sum(torch.exp(order.double()).tolist()))
    expected = (4 * total - (6 + 5 + 2 + 0)) / 4
    assert found["loss"] == pytest.approx(expected, rel=2**-45)  # float64, sums of seven
    assert (found["accuracy"], found["top5"]) == (1 / 4, 3 / 4)


def test_few_classes_have_no_top_5():
    meter = Classification().meter()
    meter.add(torch.eye(4), torch.arange(4))
    assert meter.result(Ranks()).keys() == {"loss", "accuracy"}


@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_without_a_logit_is_refused(label):
    with pytest.raises(UsageError, match="expected labels from 0 to 3"):
        Classification().loss(torch.zeros(2, 4), torch.tensor([0, label]), Ranks())
