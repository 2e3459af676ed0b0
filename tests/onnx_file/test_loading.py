"""Reading ONNX files: every kind of broken file gets one clear ModelError."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from paconv.errors import ModelError
from paconv.onnx_file.graph_view import constant_array
from paconv.onnx_file.loading import check_model, load_model
from paconv.ops import add_functions
from tests.passes.graphs import model, pa_constants

BODY = "q = paconv.PAActivation(x, v, levels) W_bar = paconv.PAWeight(W, u, alpha) y = Conv(q, W_bar)"


def good(body=BODY, **initializers):
    constants = pa_constants(np.random.default_rng(0), 64, 4, 3, 3) | initializers
    return model(f"g (float[b,4,h,w] x) => (float[b,64,i,j] y) {{ {body} }}", **constants)


def test_a_good_model_is_read_as_it_was_written(tmp_path):
    onnx.save(good(), tmp_path / "m.onnx")
    assert load_model(tmp_path / "m.onnx") == good()


def test_external_data_is_read_along(tmp_path):
    onnx.save(good(), tmp_path / "m.onnx", save_as_external_data=True, location="m.data")
    assert load_model(tmp_path / "m.onnx").graph.initializer[2].raw_data == good().graph.initializer[2].raw_data


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_a_file_cut_short_is_refused(tmp_path, keep):
    data = good().SerializeToString()
    (tmp_path / "m.onnx").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ModelError, match="m.onnx"):
        load_model(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "no graph"),
        (b"a text file\n" * 9, "found text$"),
        ("Größe\n".encode() * 99, "found text$"),
        (b"\x93NUMPY\x01\x00", r"found a NumPy array \(.npy\)$"),
        (b"PK\x03\x04", "found a damaged zip archive$"),
        (b"\x89PNG\r\n\x1a\n" * 9, "found a picture$"),
        (b"\x00" * 64, "don't decode"),
        (b"\x08\x08", "no graph"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, content, message):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("name", [b"PAWeight", b"alpha", b"W_bar"])
def test_a_file_with_names_that_are_no_utf8_is_refused(tmp_path, name):
    data = good().SerializeToString()
    assert name in data
    (tmp_path / "m.onnx").write_bytes(data.replace(name, b"\xff" * len(name)))
    with pytest.raises(ModelError, match=r"m.onnx: expected names in UTF-8, found b'.*xff'; the file is damaged"):
        load_model(tmp_path / "m.onnx")


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        load_model(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="found a directory$"):
        load_model(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(ModelError, match=r"found a directory with model\.pt in it$"):
        load_model(tmp_path)


def test_arrays_and_checkpoints_are_told_from_models(tmp_path):
    torch = pytest.importorskip("torch")
    np.savez(tmp_path / "samples.npz", input=np.zeros(3))
    with pytest.raises(ModelError, match=r"samples\.npz: expected an ONNX model, found NumPy arrays \(.npz\)$"):
        load_model(tmp_path / "samples.npz")
    for legacy in (False, True):
        torch.save({"w": torch.zeros(3)}, tmp_path / "net.bin", _use_new_zipfile_serialization=not legacy)
        with pytest.raises(
            ModelError, match=r"net\.bin: expected an ONNX model, found a torch checkpoint; `paconv exp"
        ):
            load_model(tmp_path / "net.bin")


def test_missing_external_data_is_refused(tmp_path):
    onnx.save(good(), tmp_path / "m.onnx", save_as_external_data=True, location="m.data")
    (tmp_path / "m.data").unlink()
    with pytest.raises(ModelError, match="external data"):
        load_model(tmp_path / "m.onnx")


def test_external_data_in_a_file_of_an_impossible_name_is_refused(tmp_path):
    onnx.save(good(), tmp_path / "m.onnx", save_as_external_data=True, location="m.data")
    named = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    for entry in (entry for tensor in named.graph.initializer for entry in tensor.external_data):
        if entry.key == "location":
            entry.value = "m" * 5000
    (tmp_path / "m.onnx").write_bytes(named.SerializeToString())
    with pytest.raises(ModelError, match="m.onnx: cannot read its external data: .*; keep the data beside the model"):
        load_model(tmp_path / "m.onnx")


def test_external_data_cut_short_is_refused(tmp_path):
    onnx.save(good(), tmp_path / "m.onnx", save_as_external_data=True, location="m.data")
    data = (tmp_path / "m.data").read_bytes()
    (tmp_path / "m.data").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="m.onnx: "):
        load_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("number", [0, 99])
def test_initializers_of_an_unknown_type_are_refused(number):
    broken = good()
    broken.graph.initializer[2].data_type = number
    with pytest.raises(ModelError, match=f"initializer W: unknown element type {number}"):
        check_model(broken)


def test_initializers_with_too_few_bytes_are_refused():
    broken = good()
    broken.graph.initializer[2].raw_data = broken.graph.initializer[2].raw_data[:-4]
    with pytest.raises(ModelError, match="initializer W: expected 9216 bytes .* found 9212"):
        check_model(broken)


@pytest.mark.parametrize("body", ["y = Conv(x, v)", "q = MatMul(W, v) y = Relu(x)", "y = Relu(nothing)"])
def test_inconsistent_shapes_and_unknown_tensors_are_refused(body):
    with pytest.raises(ModelError, match="inconsistent model"):
        check_model(good(body))


@pytest.mark.parametrize(
    "body, message",
    [
        ("y = Conv(x, W6)", "Conv y: expected input channels of 6, found 4"),
        ("y = Conv <group = 2> (x, W)", "Conv y: expected input channels of 8, found 4"),
        ("y = Conv <group = 4> (x, W1)", "Conv y: expected output channels divisible by 4 groups: a remainder of 0"),
        ("y = BatchNormalization(x, v, v, v, v)", "BatchNormalization.* between 3 and 4"),
    ],
)
def test_channels_that_do_not_fit_are_refused(body, message):
    broken = good(body, W6=np.ones((64, 6, 3, 3), np.float32), W1=np.ones((6, 1, 3, 3), np.float32))
    broken.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "any"
    with pytest.raises(ModelError, match=message):
        check_model(broken)


@pytest.mark.parametrize("opset", [7, 12])
def test_opsets_before_13_are_refused_beside_paconv_s_ops_alone(opset):
    old = helper.make_model(
        onnx.parser.parse_graph("g (float[n] x) => (float[n] y) { y = Relu(x) }"),
        opset_imports=[helper.make_opsetid("", opset)],
    )
    check_model(old)
    old.functions.append(next(f for f in good().functions if f.name == "PAActivation"))
    with pytest.raises(ModelError, match=f"expected opset 13 or later beside paconv's ops, found {opset}; export"):
        check_model(old)


def test_a_function_that_shadows_a_standard_op_is_refused():
    shadowed = good()
    text = '<domain: "", opset_import: ["" : 18]> Conv (x, w) => (y) { y = MatMul(x, w) }'
    shadowed.functions.append(onnx.parser.parse_function(text))
    with pytest.raises(ModelError, match="shadows the standard op Conv"):
        check_model(shadowed)


def test_a_paconv_function_with_another_meaning_is_refused():
    changed = good()
    function = next(f for f in changed.functions if f.name == "PAActivation")
    next(n for n in function.node if n.op_type == "GreaterOrEqual").op_type = "Greater"
    with pytest.raises(ModelError, match="PAActivation differs"):
        check_model(changed)


def rewritten(function: onnx.FunctionProto) -> None:
    """Constants as tensors, other names, Identity between nodes, a default written out."""
    for node in function.node:
        if node.op_type == "Constant" and not node.attribute[0].ref_attr_name:
            value = numpy_helper.from_array(constant_array(node))
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("value", value))
        if node.op_type == "ReduceSum":
            node.attribute.append(helper.make_attribute("noop_with_empty_axes", 0))
    own = {name for node in function.node for name in node.output} - set(function.output)
    for node in function.node:
        node.input[:] = [f"{name}_new" if name in own else name for name in node.input]
        node.output[:] = [f"{name}_new" if name in own else name for name in node.output]
    last = function.node[-1]
    last.output[:] = ["before"]
    function.node.append(helper.make_node("Identity", ["before"], list(function.output)))


def test_a_paconv_function_written_in_another_way_is_the_same():
    changed = good()
    for function in changed.functions:
        rewritten(function)
    onnx.checker.check_model(changed, full_check=True)
    check_model(changed)


def test_an_unknown_paconv_function_is_refused():
    changed = good()
    changed.functions[0].name = "PASomething"
    changed.graph.node[0].op_type = "PASomething"
    with pytest.raises(ModelError, match="unknown function paconv.PASomething"):
        check_model(changed)


def test_shapes_are_inferred_through_the_functions():
    inferred = check_model(good())
    dims = {v.name: v.type.tensor_type.shape.dim for v in inferred.graph.value_info}
    shapes = {name: [d.dim_value or d.dim_param for d in shape] for name, shape in dims.items()}
    assert shapes["q"] == ["b", 4, "h", "w"] and shapes["W_bar"] == [64, 4, 3, 3]


def test_element_types_narrower_than_a_byte_are_accepted():
    packed = good()
    packed.graph.initializer.append(helper.make_tensor("nibbles", TensorProto.UINT4, [3], b"\x21\x03", raw=True))
    packed.opset_import[0].version = 21
    packed.ir_version = 10
    add_functions(packed)
    check_model(packed)
