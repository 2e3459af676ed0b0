"""What a file says about where it came from, and the names of its nodes."""

import hashlib
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest
from onnx import helper

import paconv
from paconv._version import __version__
from paconv.errors import PaconvError
from paconv.onnx_file.function_meaning import same_meaning
from paconv.onnx_file.graph_view import inner_nodes
from paconv.onnx_file.metadata import NOTES, PROVENANCE, file_sha256, grid_text, note, provenance, torch_of
from paconv.onnx_file.names import name_nodes
from paconv.ops import SCHEMAS
from tests.quantization.networks import images, residual_network

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "digits_pa45.pt"


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """model.onnx and pa.onnx of the sample."""
    folder = tmp_path_factory.mktemp("sample")
    paconv.export(SAMPLE, folder / "model.onnx")
    paconv.optimize(folder / "model.onnx", folder / "pa.onnx")
    return folder / "model.onnx", folder / "pa.onnx"


def names(of: onnx.GraphProto | onnx.FunctionProto) -> list[str]:
    return [node.name for node in [*of.node, *inner_nodes(of.node)]]


def test_both_files_say_what_they_were_made_from_and_by_what(sample):
    import torch

    expected = {
        "scheme": "pa",
        "M": "4",
        "N": "5",
        "grid": "15,31",
        "source": "checkpoint",
        "source_sha256": hashlib.sha256(SAMPLE.read_bytes()).hexdigest(),
        "torch": torch.__version__,
        "version": __version__,
    }
    exported, optimized = map(onnx.load, sample)
    assert provenance(exported) == expected
    assert provenance(optimized) == {**expected, "optimizer": __version__}
    read = ort.InferenceSession(sample[1], providers=["CPUExecutionProvider"]).get_modelmeta().custom_metadata_map
    assert set(read) == {f"paconv.{name}" for name in provenance(optimized)} | set(NOTES)


def test_the_same_checkpoint_elsewhere_gives_the_same_files(sample, tmp_path):
    (tmp_path / "other.pt").write_bytes(SAMPLE.read_bytes())
    paconv.export(tmp_path / "other.pt", tmp_path / "model.onnx")
    paconv.optimize(tmp_path / "model.onnx", tmp_path / "pa.onnx")
    for path in sample:
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_every_node_of_both_files_has_a_name_of_its_own(sample):
    for path in sample:
        found = names(onnx.load(path).graph)
        assert all(found) and len(set(found)) == len(found)


def test_so_has_every_node_of_their_functions_whose_meaning_stays_that_of_the_ops(sample):
    depthwise = onnx.ModelProto(functions=[SCHEMAS["PADepthwiseConv"].function()])  # one with a loop
    name_nodes(depthwise)
    files = [onnx.load(path) for path in sample]
    for function in [*depthwise.functions, *(function for model in files for function in model.functions)]:
        found = names(function)
        assert all(found) and len(set(found)) == len(found)
        assert {"last", "zero"} & set(found)
        assert same_meaning(function, SCHEMAS[function.name].function())
    assert {f.name for f in files[0].functions} == {"PAWeight", "PAActivation"}
    assert "PALevelConv" in {f.name for f in files[1].functions}


def test_a_quantized_file_names_the_float_file_and_its_torch(tmp_path):
    network = residual_network()
    network.producer_name, network.producer_version = "pytorch", "2.9.1"
    onnx.save(network, tmp_path / "float.onnx")
    found = provenance(paconv.quantize(tmp_path / "float.onnx", images(8), N=None, grid=None, fast=True).model)
    assert (found["M"], found["N"], found["grid"], found["source"]) == ("4", "full", "none", "onnx")
    assert found["source_sha256"] == file_sha256(tmp_path / "float.onnx") and found["torch"] == "2.9.1"
    in_memory = provenance(paconv.quantize(residual_network(), images(8), fast=True, grid=(7, 15)).model)
    assert in_memory["grid"] == "7,15" and not {"source_sha256", "torch"} & set(in_memory)


def test_files_of_other_tools_get_names_and_the_optimizers_version():
    quantized = paconv.quantize(residual_network(), images(8), fast=True).model
    del quantized.metadata_props[:]
    for node in quantized.graph.node:
        node.ClearField("name")
    optimized = paconv.optimize(quantized).model
    assert provenance(optimized) == {"optimizer": __version__}
    assert all(names(optimized.graph)) and len(set(names(optimized.graph))) == len(names(optimized.graph))


def test_names_stay_where_they_are_their_nodes_own():
    inner = helper.make_graph([helper.make_node("Abs", ["x"], ["z"], "first")], "inner", [], [])
    nodes = [
        helper.make_node("Abs", ["x"], ["a"], "first"),
        helper.make_node("Abs", ["a"], ["first"]),
        helper.make_node("If", ["flag"], ["y"], "If", then_branch=inner, else_branch=inner),
    ]
    graph = helper.make_graph(nodes, "g", [], [])
    model = helper.make_model(graph)
    name_nodes(model)
    assert names(model.graph) == ["first", "first_1", "If", "z", "z_1"]


def test_an_entry_is_replaced_or_taken_out_and_others_stay():
    model = residual_network()
    model.metadata_props.add(key="owner", value="someone")
    note(model, {"paconv.M": "4", "paconv.N": "5"})
    note(model, {"paconv.M": "8", "paconv.N": None})
    assert {entry.key: entry.value for entry in model.metadata_props} == {"owner": "someone", "paconv.M": "8"}
    assert torch_of(model) is None


def test_a_grid_is_said_in_the_words_of_the_option():
    assert grid_text(15, 31) == "15,31" and grid_text(15, None) == "15,real" and grid_text(None, None) == "none"


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    with pytest.raises(PaconvError, match="No such file"):
        file_sha256(tmp_path / "none.pt")


def test_the_page_has_every_key_with_its_meaning():
    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `paconv.")]
    assert rows == [f"| `{key}` | {meaning} |" for key, meaning in {**PROVENANCE, **NOTES}.items()]
