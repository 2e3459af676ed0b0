"""Float networks that start from a checkpoint; what the command line says of bad ones: tests/cli/test_train.py."""

from __future__ import annotations

import pytest
import torch

import paconv
from paconv import models
from paconv.errors import CheckpointError
from paconv.train import Recipe, Settings, train
from paconv.train.pretrained import with_backbone_of, with_weights_of
from tests.train.joint_fit import small_source


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


def test_weights_of_another_variant_of_resnet50_are_refused(tmp_path):
    with torch.device("meta"):
        v1, detector = models.resnet50(3), models.ssd300(4)
    torch.manual_seed(0)
    paconv.save(models.resnet50(3, variant="v1.5"), tmp_path / "v15.pt")
    message = "v15.pt: expected variant=v1, found a network of variant=v1.5; give --architecture variant=v1.5"
    with pytest.raises(CheckpointError, match=message):
        with_weights_of(tmp_path / "v15.pt", v1, "resnet50", 3)
    with pytest.raises(CheckpointError, match="its bottlenecks are v1.5, the backbone's not"):
        with_backbone_of(tmp_path / "v15.pt", detector, "ssd300")


@pytest.mark.parametrize(
    ("scheme", "arguments", "kind"),
    [
        ("float", {}, torch.nn.ReLU),
        ("bireal", {}, torch.nn.Hardtanh),
        ("bireal", {"activation": "relu"}, torch.nn.ReLU),
        ("pa", {}, torch.nn.ReLU),
    ],
)
def test_a_network_is_trained_with_the_activation_function_that_its_scheme_needs(tmp_path, scheme, arguments, kind):
    settings = Settings(1, batch_size=16)
    train(Recipe("digits_resnet", settings, scheme, architecture=arguments), small_source(), tmp_path / "run")
    assert isinstance(paconv.load(tmp_path / "run/model.pt").block1.act1, kind)


def test_a_network_keeps_the_activation_function_of_its_parent(tmp_path):
    settings = Settings(1, batch_size=16)
    recipe = Recipe("digits_resnet", settings, "float", architecture={"activation": "clip"})
    train(recipe, small_source(), tmp_path / "parent")
    train(Recipe("digits_resnet", settings, parent=tmp_path / "parent/model.pt"), small_source(), tmp_path / "run")
    assert isinstance(paconv.load(tmp_path / "run/model.pt").block1.act1, torch.nn.Hardtanh)


def test_no_training_starts_from_weights_that_are_not_finite(tmp_path):
    network = models.digits_resnet(4)
    with torch.no_grad():
        network.conv.weight[0, 0, 1, 1] = torch.nan
    paconv.save(network, tmp_path / "nan.pt")
    recipe = Recipe("digits_resnet", Settings(1, batch_size=16), "float", parent=str(tmp_path / "nan.pt"))
    with pytest.raises(CheckpointError, match=r"nan.pt: conv.weight holds values that aren't finite: no training can"):
        train(recipe, small_source(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
