"""A fused file costs what its canonical form costs."""

import numpy as np
import pytest

import paconv
from paconv.cost import count
from paconv.network.extract import network, parameters
from tests.passes.graphs import model, ops, pa_constants, pa_conv
from tests.passes.resnets import pa_resnet

VGG = pa_conv("c1", "x", "a") + "p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a)" + pa_conv("c2", "p", "y")


@pytest.fixture(scope="module", params=["resnet18", pytest.param("resnet50", marks=pytest.mark.slow), "vgg"])
def reference(request):
    if request.param == "vgg":
        text = f"g (float[b,4,8,8] x) => (float[b,4,4,4] y) {{ {VGG} }}"
        return model(text, **pa_constants(np.random.default_rng(0), 4, 4, 3, 3))
    return pa_resnet(int(request.param[-2:]), 4, 5, size=64)


def by_name(layers):
    return sorted(layers, key=lambda layer: (layer.kind, layer.name))


def test_layers_operations_and_memory_are_those_of_the_canonical_form_and_of_the_exported_model(reference):
    fused, plain = paconv.optimize(reference).model, paconv.optimize(reference, fuse=False).model
    assert "PALevelConv" in ops(fused) and "PABitConv" not in ops(fused)
    found, expected = network(fused), network(plain)
    assert by_name(found.layers) == by_name(expected.layers)
    assert count(found).totals == count(expected).totals == count(network(reference)).totals
    assert (found.uncounted_ops, found.inferred) == (expected.uncounted_ops, "")
    assert by_name(parameters(fused).layers) == by_name(parameters(plain).layers)
