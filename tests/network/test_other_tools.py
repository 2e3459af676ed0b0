"""Files that other tools wrote or touched: whatever onnxruntime runs is counted, as the network that it stands for."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from paconv.cost import count, network
from paconv.network.extract import parameters
from paconv.network.parameters_note import KEY
from paconv.onnx_file.loading import load_model
from tests.network.resnet_graphs import resnet_graph

SIZE = 12
MACS = 8 * 27 * SIZE * SIZE + 8 * 72 * SIZE * SIZE + 5 * 8
PARAMETERS = 8 * 27 + 8 * 72 + 5 * 8 + 5


def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"W1": (8, 3, 3, 3), "W2": (8, 8, 3, 3), "fc": (5, 8), "b": (5,)}
    return {name: rng.standard_normal(shape).astype(np.float32) * np.float32(0.1) for name, shape in shapes.items()}


def net(
    made: dict[str, list[onnx.NodeProto]] | None = None, opset: int = 17, ir: int = 8, **changed: np.ndarray
) -> onnx.ModelProto:
    """Conv, Conv, pool, Gemm. made: weight -> nodes that make it, in the place of an initializer."""
    made = made or {}
    stored = {name: value for name, value in weights().items() if name not in made} | changed
    nodes = [
        *(node for each in made.values() for node in each),
        helper.make_node("Conv", ["x", "W1"], ["a"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "W2"], ["c"], "second", pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "fc", "b"], ["y"], "last", transB=1),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def costs(model: onnx.ModelProto) -> tuple[int, int]:
    """(MACs, parameters); every product is counted."""
    found = network(model)
    assert not found.uncounted_products
    totals = count(found).totals
    return totals.macs, totals.parameters


def dequantized() -> onnx.ModelProto:
    W = weights()["W2"]
    scale = np.abs(W).max((1, 2, 3)) / 127
    quantized = np.rint(W / scale[:, None, None, None]).astype(np.int8)
    node = helper.make_node("DequantizeLinear", ["W2q", "s", "z"], ["W2"], axis=0)
    return net({"W2": [node]}, W2q=quantized, s=scale.astype(np.float32), z=np.zeros(8, np.int8))


FILLED = {"W2": [helper.make_node("ConstantOfShape", ["sizes"], ["W2"],
                                  value=helper.make_tensor("v", TensorProto.FLOAT, [1], [0.1]))]}  # fmt: skip
COMPUTED = {
    "W2": [
        helper.make_node("Mul", ["raw", "gain"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "sizes"], ["turned"]),
        helper.make_node("Transpose", ["turned"], ["W2"], perm=[3, 2, 0, 1]),
    ]
}


@pytest.mark.parametrize(
    "model",
    [
        net(),
        dequantized(),
        net(FILLED, sizes=np.array([8, 8, 3, 3])),
        net(COMPUTED, sizes=np.array([3, 3, 8, 8]), raw=np.ones((72, 8), np.float32), gain=np.ones(8, np.float32)),
        net({"b": [helper.make_node("Identity", ["b0"], ["b"])]}, b0=np.zeros(5, np.float32)),
        net(opset=9, ir=3),
    ],
    ids=["plain", "dequantized", "filled", "computed", "behind Identity", "opset 9"],
)
def test_a_weight_costs_the_same_however_it_is_made(model):
    assert costs(model) == (MACS, PARAMETERS)
    assert sum(layer.bias for layer in parameters(model)) == 5


def quantized(folder, form: str) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static

    class Samples(CalibrationDataReader):
        def __init__(self):
            self.left = iter([{"x": np.random.default_rng(0).random((1, 3, SIZE, SIZE), np.float32)}])

        def get_next(self):
            return next(self.left, None)

    source, output = folder / "float.onnx", folder / "int8.onnx"
    onnx.save(net(), source)
    if form == "dynamic":
        quantize_dynamic(source, output)
    else:
        quantize_static(source, output, Samples(), quant_format=QuantFormat[form], per_channel=True)
    return load_model(output)


@pytest.mark.parametrize("form", ["QDQ", "QOperator", "dynamic"])
def test_onnxruntime_s_8_bit_forms_cost_what_the_float_network_costs(tmp_path, form):
    model = quantized(tmp_path, form)
    macs, found = costs(model)
    assert macs == MACS
    assert found == PARAMETERS if form != "dynamic" else found <= PARAMETERS  # a bias may be an Add of its own
    assert any("uint8" in remark or "int8" in remark for remark in network(model).remarks)


@pytest.mark.parametrize("level", ["ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED"])
def test_what_onnxruntime_optimized_offline_costs_the_same(tmp_path, level):
    onnx.save(net(), tmp_path / "float.onnx")
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(str(tmp_path / "float.onnx"), options, providers=["CPUExecutionProvider"])
    assert costs(load_model(tmp_path / "optimized.onnx")) == (MACS, PARAMETERS)


def test_nodes_in_any_order_and_outputs_without_a_type_are_read_as_onnxruntime_reads_them(tmp_path):
    model = net()
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.output[0].ClearField("type")
    model.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, 99, 4, 4]))
    onnx.save(model, tmp_path / "touched.onnx")
    assert costs(load_model(tmp_path / "touched.onnx")) == (MACS, PARAMETERS)


def test_a_reshape_to_a_computed_shape_is_observed_where_it_cannot_be_inferred():
    made = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 3, {SIZE}, {SIZE}] x) => (float[n, k] y) <float[8, 3, 3, 3] W = {{0}}, float[40, 5] fc = {{0}}> {{
            c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, W)
            s = Shape (c)
            f = Cast <to = 1> (s)
            half = Constant <value_floats = [1.0, 0.4166667, 1.0, 2.4]> ()
            scaled = Mul (f, half)
            rounded = Round (scaled)
            i = Cast <to = 7> (rounded)
            zero = Constant <value_ints = [0]> ()
            one = Constant <value_ints = [1]> ()
            two = Constant <value_ints = [2]> ()
            batch = Slice (i, zero, one)
            rest = Constant <value_ints = [-1, 36]> ()
            sizes = Concat <axis = 0> (batch, rest)
            turned = Reshape (c, sizes)
            many = ReduceProd <keepdims = 1, axes = [0]> (i)
            pooled = ReduceMean <axes = [2], keepdims = 0> (turned)
            y = Identity (pooled)
        }}""")
    del made.graph.initializer[:]
    made.graph.initializer.append(numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "W"))
    made.graph.initializer.append(numpy_helper.from_array(np.zeros((8, 5), np.float32), "fc"))
    made.graph.node.append(helper.make_node("MatMul", ["pooled", "fc"], ["z"]))
    made.graph.output[0].name = "z"
    macs, _ = costs(made)
    assert macs == 8 * 27 * 36 + 5 * 8


def test_a_weight_from_the_input_counts_in_operations_and_stores_nothing():
    graph = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[1, 4, 8, 8] x, float[4, 4, 1, 1] w) => (float[1, 4, 8, 64] y) {
            c = Conv (x, w)
            d = Transpose <perm = [0, 1, 3, 2]> (c)
            e = MatMul (c, d)
            shape = Constant <value_ints = [1, 4, 1, 64]> ()
            y = Reshape (e, shape)
        }""")
    assert costs(graph) == (4 * 4 * 64 + 4 * 8 * 8 * 8, 0)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('y = Einsum <equation = "bi,oi->bo"> (x, w)', "Einsum y (an op that isn't counted)"),
        ("a, y = other.ConvPlus (x, w)", "other.ConvPlus a (an op that isn't counted)"),
        ("y = If (c) <then_branch = t () => (float[1, 4] p) { p = MatMul (x, w) }, "
         "else_branch = e () => (float[1, 4] q) { q = Identity (x) }>", "If/MatMul p (how often it runs isn't known)"),
    ],
)  # fmt: skip
def test_what_multiplies_and_cannot_be_counted_is_named(body, said):
    graph = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18, "other" : 1]> '
        f"g (float[1, 4] x, bool c) => (float[1, 4] y) {{ {body} }}"
    )
    graph.graph.initializer.append(numpy_helper.from_array(np.zeros((4, 4), np.float32), "w"))
    assert [str(each) for each in network(graph).uncounted_products] == [said]


def test_a_note_that_fits_no_longer_is_said_and_the_rest_is_counted():
    graph = resnet_graph(18, "optimized", 4, 5)
    expected = count(network(graph)).totals
    value = '{"bias": {"gone": 1000}, "batch_norm": {}}'
    kept = [entry for entry in graph.metadata_props if entry.key != KEY]
    del graph.metadata_props[:]
    graph.metadata_props.extend([*kept, onnx.StringStringEntryProto(key=KEY, value=value)])
    found = network(graph)
    assert "names the layer gone" in found.remarks[0]
    assert "inferred" in found.inferred
    assert count(found).totals.flops == expected.flops
    assert count(found).totals.binary_weights == expected.binary_weights


def test_functions_inlined_by_another_tool_leave_the_same_operations():
    graph = resnet_graph(18, "exported", 4, 5)
    inlined = onnx.inliner.inline_local_functions(graph)
    totals = count(network(inlined)).totals
    assert totals.macs == count(network(graph)).totals.macs
    assert totals.parameters >= 11_000_000
