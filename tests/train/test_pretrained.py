"""Float networks that start from a checkpoint; what the command line says of bad ones: tests/cli/test_train.py."""

from __future__ import annotations

import torch

import paconv
from paconv import models
from paconv.train.pretrained import with_backbone_of


def test_ssd300_takes_over_the_weights_and_statistics_of_resnet50_but_its_classifier(tmp_path):
    torch.manual_seed(0)
    classifier, detector = models.resnet50(3), models.ssd300(4)
    classifier.bn1.running_mean.fill_(2.0)
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    paconv.save(classifier, tmp_path / "resnet50.pt")
    made = with_backbone_of(tmp_path / "resnet50.pt", detector, "ssd300").state_dict()
    taken = classifier.state_dict()
    assert made.keys() == before.keys()
    for name, value in made.items():
        start, _, rest = name.partition(".")
        assert torch.equal(value, taken[rest] if start == "backbone" else before[name]), name
