"""What is compared, by name."""

from __future__ import annotations

import pytest

from paconv.errors import UsageError
from paconv.nn.schemes import SCHEMES
from paconv.studies.accuracy import SYSTEMS, Study, parse_system


def test_every_system_of_the_paper_is_named_and_found_again_by_its_name():
    assert [system.name for system in SYSTEMS] == [
        "float", "pa:8,full", "pa:4,full", "pa:8,7", "pa:4,5", "abc:5,5", "groupnet_layerwise:5,1", "lqnet:2,2",
        "dorefa:2,2", "syq:1,8", "bwn:1,full", "twn:2,full", "bireal:1,1", "xnor:1,1",
    ]  # fmt: skip
    assert tuple(parse_system(system.name) for system in SYSTEMS) == SYSTEMS


def test_titles_say_M_and_N_where_the_scheme_leaves_them_open():
    titles = {system.name: system.title for system in SYSTEMS}
    assert titles["float"] == "full precision" and titles["bireal:1,1"] == "Bi-Real Net"
    assert titles["pa:4,full"] == "PA(4,full)" and titles["dorefa:2,2"] == "DoReFa-Net(2,2)"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_systems_of_signs_start_from_a_network_that_clips(scheme):
    signs = scheme in ("xnor", "bireal", "groupnet", "groupnet_layerwise")
    system = parse_system(scheme)
    assert system.activation == ("clip" if signs else "relu")
    study = Study(systems=(parse_system("float"), system))
    assert study.activations == (("relu", "clip") if signs else ("relu",))
    assert study.architecture(study.activation(system)) == {"activation": system.activation}


def test_an_architecture_with_one_activation_function_keeps_it():
    study = Study(model="resnet18", systems=(parse_system("bireal"),))
    assert study.activations == ("relu",)
    assert study.activation(parse_system("bireal")) == "relu" and study.architecture("relu") == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ()}, "data: expected at least one"),
        ({"systems": (parse_system("pa"), parse_system("pa:4,5"))}, "systems: one is named twice"),
        ({"rates": (0.1, 0.1)}, "rates: one is named twice"),
        ({"rates": (-0.1,)}, "lr must be a number from 0"),
        ({"seeds": 0}, "seeds: expected a whole number from 1; found 0"),
        ({"validation": 1.0}, "validation: expected a share between 0 and 1; found 1"),
        ({"epochs": 0}, "epochs must be a whole number from 1; found 0"),
        ({"optimizer": "lion"}, "optimizer must be one of adam, sgd"),
        ({"model": "lenet"}, "no architecture is called 'lenet'"),
    ],
)
def test_a_study_without_meaning_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        Study(**changes)
