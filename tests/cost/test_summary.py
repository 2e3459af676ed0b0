"""`paconv.summary`: the same layers in every form of a network, what each reads, its bits and shares."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

import paconv
from paconv.cost.reading import readings
from tests.cli.test_cost import write
from tests.network.resnet_graphs import FORMS, resnet_graph
from tests.passes.graphs import model, pa_constants
from tests.quantization.networks import images, residual_network


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """ResNet18 in each form, its weights 0."""
    folder = tmp_path_factory.mktemp("models")
    return {form: write(resnet_graph(18, form), folder / f"{form}.onnx") for form in FORMS}


def test_exported_and_optimized_forms_have_the_same_summary(models):
    found = [paconv.summary(models[form]) for form in ("exported", "optimized")]
    names = ("name", "kind", "scheme", "weight_shape", "weight_bits", "activation_bits", "macs")
    rows = [[[getattr(layer, name) for name in names] for layer in each.layers if layer.macs] for each in found]
    assert rows[0] == rows[1]
    assert [each.form for each in found] == ["exported", "optimized"]
    assert found[0].macs == found[1].macs == 1_814_073_344


def test_the_table_fits_80_columns_and_has_a_row_per_layer(models):
    found = paconv.summary(models["optimized"])
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("conv pa:4,5" in line for line in lines) == 19
    assert "19 of 21 layers converted (93.5 % of MACs" in " ".join(str(found).split())
    assert repr(found).startswith("<Summary of ") and "\n" not in repr(found)


def test_a_float_network_reads_its_input_and_what_relus_left(models):
    found = {layer.name: layer for layer in paconv.summary(models["float"]).layers}
    assert found["conv1"].reads == "input" and found["layer1.0.conv1"].reads == "rectified"
    assert {(layer.weight_bits, layer.scheme) for layer in found.values()} == {(32, None)}


def test_what_a_quantized_network_reads_is_what_its_float_parent_does(tmp_path):
    parent = residual_network()
    quantized = paconv.quantize(parent, images(40), fast=True)
    packed = paconv.optimize(quantized.model).model
    told = {layer.name: layer.reads for layer in quantized.layers if layer.form == "pa"}
    assert told
    for form in (quantized.model, packed):
        found = readings(form)
        assert {name: found[name] for name in told} == told


@pytest.mark.parametrize(("lowest", "expected"), [(-1.0, "signed"), (0.0, "rectified")])
def test_levels_below_0_make_it_signed_in_either_form(lowest, expected):
    constants = pa_constants(np.random.default_rng(0), 4, 4, 1, 1)
    levels = constants["levels"]
    levels = onnx.numpy_helper.to_array(levels).copy() if isinstance(levels, onnx.TensorProto) else np.array(levels)
    levels[-1] = lowest or levels[-1]
    constants["levels"] = levels.astype(np.float32)
    body = 'q = paconv.PAActivation(x, v, levels) W_bar = paconv.PAWeight(W, u, alpha) ["c"] y = Conv(q, W_bar)'
    exported = model(f"g (float[1,4,8,8] x) => (float[1,4,h,w] y) {{ {body} }}", **constants)
    assert readings(exported) == readings(paconv.optimize(exported).model) == {"c": expected}


@pytest.mark.slow
def test_the_sample_checkpoint_is_summarized(run_summary):
    data = json.loads(run_summary("examples/digits_pa45.pt", "--format", "json"))
    assert data["form"] == "torch" and data["inputs"] == {"input": [1, 1, 8, 8]}
    assert data["totals"]["parameters"] == 77_562
    assert [layer["reads"] for layer in data["layers"][:2]] == ["input", "rectified"]


@pytest.fixture
def run_summary():
    """Standard output of `paconv summary` with these arguments."""
    from click.testing import CliRunner

    from paconv.cli.main import cli

    def call(*arguments: str) -> str:
        done = CliRunner().invoke(cli, ["summary", *arguments], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    return call


def test_factory_and_pickle_belong_to_files():
    with pytest.raises(paconv.PaconvError, match="give its path"):
        paconv.summary(residual_network(), trust_pickle=True)
