"""Detection: SSD's loss and mAP as a task, trained on a VOC-style folder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from paconv.errors import UsageError
from paconv.models.ssd import MultiboxLoss, encode, prior_boxes
from paconv.train import Settings, fit, open_source
from paconv.train.data.voc import ImageObjects
from paconv.train.distributed import Ranks
from paconv.train.tasks import task_of
from paconv.train.tasks.detection import Detection
from tests.train.architectures import tiny_detector
from tests.train.joint_fit import small_source
from tests.train.pictures import voc_folder


def objects(box: list[float], label: int) -> ImageObjects:
    return ImageObjects(torch.tensor([box]), torch.tensor([label]), torch.tensor([False]))


def test_a_detector_is_trained_on_a_folder_and_measured_by_map(tmp_path):
    torch.manual_seed(0)
    source = open_source(f"voc:{voc_folder(tmp_path / 'voc')}")
    history = fit(tiny_detector(), source, Settings(12, batch_size=2, lr=0.03))
    assert [measures.keys() for measures in history] == [{"epoch", "loss", "held_out_mAP"}] * 12
    assert history[-1]["loss"] < history[0]["loss"] - 1  # 1.7 to 3 with five seeds


def test_perfect_outputs_have_map_1():
    priors, targets = prior_boxes(), [objects([0.1, 0.1, 0.5, 0.6], 3), objects([0.3, 0.2, 0.9, 0.8], 7)]
    locations = torch.stack([encode(each.boxes.expand(len(priors), 4), priors) for each in targets])
    confidences = torch.zeros(2, len(priors), 21)
    for row, each in zip(confidences, targets, strict=True):
        row[:, 0] = 20
        row[100, each.labels] = 40
    meter = Detection().meter()
    meter.add((locations, confidences), targets)
    assert meter.result(Ranks()) == {"mAP": 1.0}


def test_the_mean_over_the_processes_is_the_loss_of_the_joint_batch(monkeypatch):
    """In float64: a sum of the joint batch's 2 * 8732 terms in another order, below 2^15 of them, so 2^-38 relative."""
    torch.manual_seed(0)
    targets = [objects([0.1, 0.1, 0.5, 0.6], 3), objects([0.0, 0.2, 0.9, 0.8], 7)]
    outputs = torch.randn(2, 8732, 4).double(), torch.randn(2, 8732, 21).double()
    boxes, labels = [each.boxes.double() for each in targets], [each.labels for each in targets]
    joint = MultiboxLoss(prior_boxes().double())(*outputs, boxes, labels)

    task = Detection()
    task.multibox.double()
    doubled = [ImageObjects(b, l, each.difficult) for b, l, each in zip(boxes, labels, targets, strict=True)]
    counts: list[torch.Tensor] = []
    monkeypatch.setattr(Ranks, "sum", lambda self, value: counts.append(value) or value)

    def share(rank: int) -> torch.Tensor:
        part = tuple(tensor[rank : rank + 1] for tensor in outputs)
        return task.loss(part, doubled[rank : rank + 1], Ranks(rank, 2))

    for rank in range(2):
        share(rank)
    total = sum(counts)
    assert counts[0] != counts[1]
    monkeypatch.setattr(Ranks, "sum", lambda self, value: total)
    mean = (share(0) + share(1)) / 2
    assert abs(mean - joint) < 2**-38 * joint


def test_what_does_not_fit_the_data_is_refused(tmp_path):
    source = open_source(f"voc:{voc_folder(tmp_path / 'voc')}")
    task = task_of(source)
    with pytest.raises(UsageError, match="is for a detector, such as ssd300"):
        task.check(nn.Identity(), torch.zeros(1, 20), source)
    with pytest.raises(UsageError, match="expected 8732 boxes and 20 classes"):
        task.check(nn.Identity(), (torch.zeros(1, 8732, 4), torch.zeros(1, 8732, 3)), source)
    with pytest.raises(UsageError, match="expected a model that gives logits"):
        outputs = torch.zeros(1, 8732, 4), torch.zeros(1, 8732, 21)
        task_of(small_source()).check(tiny_detector(), outputs, small_source())
