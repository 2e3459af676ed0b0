"""Files of any producer are made plain: one form of what comes in many, the same outputs, a line for what can't be."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from paconv.errors import ModelError
from paconv.onnx_file.free_batch import BATCH
from paconv.onnx_file.plain import ModelInput, plain_model

DRAW = np.random.default_rng(0)
W = DRAW.standard_normal((4, 3, 3, 3), np.float32)
W2 = DRAW.standard_normal((2, 4, 1, 1), np.float32)
HEAD = "(float[n,3,h,w] x) => (float[n,c,i,j] y)"


def graph(
    body: str, opset: int = 18, ir: int = 8, head: str = HEAD, imports: str = "", after: str = "", **initializers
):
    """A model of ONNX text, with initializers."""
    model = onnx.parser.parse_model(
        f'<ir_version: {ir}, opset_import: ["" : {opset}{imports}]>\ng {head} {{{body}}}\n{after}'
    )
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in initializers.items())
    return model


def outputs(model: onnx.ModelProto, **inputs: np.ndarray) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options).run(None, inputs)


def weights_of(model: onnx.ModelProto) -> list[np.ndarray]:
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return [stored[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(shape, np.float32)


def test_a_plain_model_stays_what_it_is_and_the_given_one_is_left_alone():
    model = graph("y = Conv(x, W)", W=W)
    before = model.SerializeToString()
    plain = plain_model(model)
    assert model.SerializeToString() == before
    assert plain.batch is None and plain.inputs == (ModelInput("x", (BATCH, 3, "h", "w"), np.dtype(np.float32)),)
    assert [n.op_type for n in plain.model.graph.node] == ["Conv"]
    assert plain.shapes == {"x": (1, 3, 64, 64), "y": (1, 4, 62, 62)}
    assert np.array_equal(outputs(plain.model, x=image(5, 3, 8, 9))[0], outputs(model, x=image(5, 3, 8, 9))[0])


CHAINS = {
    "Constant": ("w = Constant<value = V>()", {}),
    "Identity": ("a = Identity(W) w = Identity(a)", {"W": W}),
    "Reshape of a flat tensor": ("w = Reshape(W, s)", {"W": W.ravel(), "s": np.int64([4, 3, 3, 3])}),
    "Transpose of TensorFlow's order": ("w = Transpose<perm = [3, 2, 0, 1]>(W)", {"W": W.transpose(2, 3, 1, 0)}),
    "Cast and Unsqueeze": ("a = Cast<to = 1>(W) w = Squeeze(a, k)", {"W": W[None].astype(float), "k": np.int64([0])}),
    "arithmetic": ("a = Mul(W, half) w = Mul(a, two)", {"W": W, "half": np.float32(0.5), "two": np.float32(2)}),
    "ConstantOfShape": ("w = ConstantOfShape<value = float[1]{0.5}>(s)", {"s": np.int64([4, 3, 3, 3])}),
}


@pytest.mark.parametrize("name", CHAINS)
def test_weights_from_a_chain_become_initializers(name):
    chain, initializers = CHAINS[name]
    if name == "Constant":
        model = graph("y = Conv(x, w)")
        model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(W)))
    else:
        model = graph(f"{chain} y = Conv(x, w)", **initializers)
    plain = plain_model(model).model
    assert [n.op_type for n in plain.graph.node] == ["Conv"] and len(plain.graph.initializer) == 1
    expected = np.full_like(W, 0.5) if name == "ConstantOfShape" else W
    assert np.array_equal(weights_of(plain)[0], expected)


def test_a_constant_that_would_only_make_the_file_larger_stays_computed():
    model = graph(
        "b = Expand(one, s) c = Conv(x, W) y = Add(c, b)", head="(float[n,3,1026,1026] x) => (float[n,c,i,j] y)",
        one=np.ones((1, 1, 1, 1), np.float32), s=np.int64([1, 1, 1024, 1024]), W=W,
    )  # fmt: skip
    plain = plain_model(model).model
    assert [n.op_type for n in plain.graph.node] == ["Expand", "Conv", "Add"]


def test_what_nothing_reads_goes_and_what_a_subgraph_reads_stays():
    model = graph(
        "dead = Conv(x, V) y = Conv(x, W) i = Identity(s)"
        "z = If(t) <then_branch = g1 () => (float[1] p) { p = Add(i, i) },"
        "           else_branch = g2 () => (float[1] q) { q = Neg(i) }>",
        head="(float[n,3,h,w] x, bool t) => (float[n,c,i,j] y, float[1] z)", W=W, V=W, s=np.float32([2]), unused=W,
    )  # fmt: skip
    plain = plain_model(model).model
    assert [n.op_type for n in plain.graph.node] == ["Conv", "If"]
    assert {t.name for t in plain.graph.initializer} == {"W", "i"}
    assert outputs(plain, x=image(1, 3, 4, 4), t=np.array(True))[1].tolist() == [4]


def test_given_names_of_nodes_stay_and_all_others_are_unique():
    model = graph("a = Conv(x, W) b = Relu(a) y = Conv(b, V)", W=W, V=W2)
    model.graph.node[0].name, model.graph.node[2].name = "b", "last"
    assert [n.name for n in plain_model(model).model.graph.node] == ["b", "Relu_1", "last"]


@pytest.mark.parametrize(("opset", "ir"), [(9, 3), (9, 4), (11, 6), (12, 7)])
def test_old_files_are_raised_and_say_the_same(opset, ir):
    model = graph(
        "c = Conv<pads = [1, 1, 1, 1]>(x, W) n = BatchNormalization(c, g, b, m, v) r = Clip<min = 0.0, max = 6.0>(n)"
        "u = Upsample<mode = \"nearest\">(r, k) d = Dropout(u) e = Unsqueeze<axes = [0]>(d) s = Squeeze<axes = [0]>(e)"
        "t = ReduceMean<axes = [2, 3], keepdims = 0>(s) f = Flatten(t) l = Gemm(f, L, l0) y = Softmax<axis = 1>(l)"
        if opset == 9
        else "c = Conv<pads = [1, 1, 1, 1]>(x, W) n = BatchNormalization(c, g, b, m, v) r = Clip(n, zero, six)"
        "e = Unsqueeze<axes = [0]>(r) s = Squeeze<axes = [0]>(e) p = Pad<mode = \"constant\">(s, pads)"
        "t = ReduceSum<axes = [2, 3], keepdims = 0>(p) l = Gemm(t, L, l0) y = Softmax<axis = 1>(l)",
        opset, ir, "(float[1,3,6,6] x) => (float[1,5] y)", W=W, g=image(4), b=image(4), m=image(4), v=np.abs(image(4)),
        k=np.float32([1, 1, 2, 2]), L=image(4, 5), l0=image(5), zero=np.float32(0), six=np.float32(6),
        pads=np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
    )  # fmt: skip
    if opset == 9:
        del model.graph.initializer[-3:]
    else:
        del model.graph.initializer[5:6]
    if ir < 4:
        model.graph.input.extend(
            helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in model.graph.initializer
        )
    plain = plain_model(model)
    assert plain.model.opset_import[0].version == 13 and plain.model.ir_version >= 8 and plain.batch is None
    assert [i.name for i in plain.model.graph.input] == ["x"]
    x = image(1, 3, 6, 6)
    # The same float32 operations in the same order, but for the softmax's, whose results are below 1.
    assert np.allclose(outputs(plain.model, x=x)[0], outputs(model, x=x)[0], rtol=0, atol=8 * 2**-24)


def test_an_op_that_cannot_be_raised_is_named():
    model = graph("c = Conv(x, W) y = Crop(c)", 9, 4, W=W)
    with pytest.raises(
        ModelError, match=r"model: opset 9 can't be raised to 13: .* refuses Crop \(.*\); export the"
    ) as c:
        plain_model(model)
    assert "\n" not in str(c.value)


def test_functions_are_inlined():
    model = graph(
        "a = lib.Block(x, W) y = Relu(a)", imports=', "lib" : 1', W=W,
        after='<domain: "lib", opset_import: ["" : 18]> Block (p, q) => (r) { c = Conv(p, q) r = Relu(c) }',
    )  # fmt: skip
    plain = plain_model(model).model
    assert [n.op_type for n in plain.graph.node] == ["Conv", "Relu", "Relu"] and not plain.functions


def test_external_data_is_read_along(tmp_path):
    onnx.save(graph("y = Conv(x, W)", W=W), tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0)
    assert np.array_equal(weights_of(plain_model(tmp_path / "m.onnx").model)[0], W)


def test_a_batch_that_was_fixed_becomes_free():
    model = graph("a = Conv(x, W) y = Flatten(a)", head="(float[1,3,8,8] x) => (float[1,144] y)", W=W)
    plain = plain_model(model)
    assert plain.batch is None and plain.inputs[0].shape == (BATCH, 3, 8, 8)
    assert outputs(plain.model, x=image(3, 3, 8, 8))[0].shape == (3, 144)


@pytest.mark.parametrize("sizes", [[1, 144], [1, -1], [1, 4, 36]])
def test_a_reshape_to_the_fixed_batch_is_freed(sizes):
    head = f"(float[1,3,8,8] x) => (float[{'1,144' if len(sizes) == 2 else '1,4,36'}] y)"
    plain = plain_model(graph("a = Conv(x, W) y = Reshape(a, s)", head=head, W=W, s=np.int64(sizes)))
    assert plain.batch is None and len(outputs(plain.model, x=image(3, 3, 8, 8))[0]) == 3
    assert {tensor.name for tensor in plain.model.graph.initializer} == {"W", "y//sizes"}


@pytest.mark.parametrize(
    "body",
    [
        "a = Conv(x, W) m = ReduceMean(a) n = Sub(a, m) y = Flatten(n)",  # a mean over the samples too
        "a = Conv(x, W) b = Expand(a, s) y = Flatten(b)",
        "a = Conv(x, W) b = Squeeze(a, k) d = Unsqueeze(b, k) y = Flatten(d)",
    ],
)
def test_a_batch_that_the_graph_needs_stays(body):
    sizes = {"s": np.int64([1, 4, 6, 6])} if "Expand" in body else {"k": np.int64([0])} if "Squeeze" in body else {}
    plain = plain_model(graph(body, head="(float[1,3,8,8] x) => (float[1,144] y)", W=W, **sizes))
    batch = None if "Expand" in body else 1  # an Expand to 1 sample leaves any number
    assert plain.batch == batch and plain.inputs[0].shape == (batch or BATCH, 3, 8, 8)


def test_a_batch_that_is_not_the_first_axis_of_an_output_is_seen():
    model = graph(
        "a = Conv(x, W) y = Transpose<perm = [2, 0, 1, 3]>(a)", head="(float[1,3,8,8] x) => (float[i,1,c,j] y)", W=W
    )
    assert plain_model(model).batch is None


def test_free_sizes_are_tried_until_one_fits_or_the_given_ones_are_taken():
    model = graph("a = Conv(x, W) y = Reshape(a, s)", W=W, s=np.int64([-1, 4, 900, 1]))  # 32 - 2 = 30, 30 * 30 = 900
    assert plain_model(model).shapes["x"] == (1, 3, 32, 32)
    model = graph("a = Conv(x, W) y = Reshape(a, s)", W=W, s=np.int64([-1, 4, 169, 1]))
    with pytest.raises(
        ModelError, match="model: onnxruntime doesn't run it: .*inputs of 1,3,64,64 and 10 more.*--input-shape"
    ):
        plain_model(model)
    assert plain_model(model, {"x": (3, 15, 15)}).shapes["x"] == (1, 3, 15, 15)


def test_shapes_that_the_file_leaves_out_or_has_wrong_are_inferred():
    model = graph("a = Conv(x, W) y = Relu(a)", head="(float[n,3,8,8] x) => (float[9,9] y)", W=W)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    inferred = plain_model(model).model.graph
    dims = [d.dim_value or d.dim_param for d in inferred.output[0].type.tensor_type.shape.dim]
    assert dims == [BATCH, 4, 6, 6] and [v.name for v in inferred.value_info] == ["a"]


QDQ = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = Conv(d, W)"
SCALE = {"s": np.float32(0.1), "z": np.uint8(0)}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (graph(QDQ, W=W, **SCALE), "found a quantized one (1 QuantizeLinear, 1 DequantizeLinear"),
        (graph("y = paconv.PAActivation(x, v, l)", imports=', "paconv" : 1', v=W, l=W), "approximated already (PAAct"),
        (graph("y = Relu(x)"), "expected a network with convolutions, found none; it has Relu"),
        (graph("y = Conv(x, W)", W=image(4, 5, 3, 3)), "inconsistent model"),
        (graph("c = Conv(x, W) y = Nothing(c)", W=W), "inconsistent model: No Op registered for Nothing"),
        (graph("c = Conv(x, W) y = other.Op(c)", imports=', "other" : 1', W=W), "doesn't load it"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_quantized_gets_a_line(model, message):
    with pytest.raises(ModelError, match=re.escape(message)) as caught:
        plain_model(model)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"a text file\n" * 9)
    with pytest.raises(ModelError, match=r"m\.onnx: expected an ONNX model, found text$"):
        plain_model(tmp_path / "m.onnx")


def test_an_input_of_whole_numbers_and_several_inputs_are_run_too():
    model = graph(
        "c = Conv(x, W) g = Gather<axis = 0>(T, k) y = Add(c, g)",
        head="(float[1,3,8,8] x, int64[1,4,1,1] k) => (float[1,4,6,6] y)", W=W, T=np.float32([1, 2, 3]),
    )  # fmt: skip
    plain = plain_model(model)
    assert plain.batch is None and [i.shape[0] for i in plain.inputs] == [BATCH, BATCH]
    assert plain.inputs[1].dtype == np.int64


def test_a_weight_computed_from_an_input_stays_computed():
    model = graph("w = Mul(W, s) y = Conv(x, w)", head="(float[n,3,h,w] x, float s) => (float[n,c,i,j] y)", W=W)
    assert [n.op_type for n in plain_model(model).model.graph.node] == ["Mul", "Conv"]


def halved(values, kind: int, name: str) -> tuple[onnx.TensorProto, np.ndarray]:
    """A tensor in half precision, and its numbers in float32. A bfloat16 is a float32 cut in the middle."""
    values = np.asarray(values, np.float32)
    bits = (values.view(np.uint32) >> 16).astype("<u2")
    stored = values.astype("<f2") if kind == TensorProto.FLOAT16 else bits
    kept = stored.astype(np.float32) if kind == TensorProto.FLOAT16 else (bits.astype(np.uint32) << 16).view(np.float32)
    return helper.make_tensor(name, kind, values.shape, stored.tobytes(), raw=True), kept


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_half_precision_becomes_float32_with_the_same_numbers(kind):
    """Of initializers, constants in branches too, inputs, outputs and casts."""
    half, added = halved([0.328125], kind, "half")
    stored, kept = halved(W, kind, "W")
    inner = [helper.make_graph([helper.make_node("Constant", [], [name], value=half)], name, [],
                               [helper.make_tensor_value_info(name, kind, [1])]) for name in ("yes", "no")]  # fmt: skip
    nodes = [  # the last one first, as onnxruntime's converter leaves them
        helper.make_node("Add", ["d", "b"], ["y"]),
        helper.make_node("Conv", ["x", "W"], ["c"]), helper.make_node("Cast", ["c"], ["d"], to=kind),
        helper.make_node("If", ["k"], ["b"], then_branch=inner[0], else_branch=inner[1]),
    ]  # fmt: skip
    model = helper.make_model(
        helper.make_graph(
            nodes, "g", [helper.make_tensor_value_info("x", kind, ["n", 3, 8, 8])],
            [helper.make_tensor_value_info("y", kind, ["n", 4, 6, 6])],
            [stored, helper.make_tensor("k", TensorProto.BOOL, [], [True])],
        ),
        ir_version=8, opset_imports=[helper.make_opsetid("", 18)],
    )  # fmt: skip
    before = model.SerializeToString()
    with pytest.warns(UserWarning, match=r"model: its b?float16 become float32, exactly; inputs and outputs too"):
        plain = plain_model(model)
    assert model.SerializeToString() == before
    assert plain.inputs == (ModelInput("x", (BATCH, 3, 8, 8), np.dtype(np.float32)),)
    assert np.array_equal(weights_of(plain.model)[0], kept) and not np.array_equal(kept, W)
    x = image(2, 3, 8, 8)
    conv = graph("y = Conv(x, W)", W=kept)
    assert np.array_equal(outputs(plain.model, x=x)[0], outputs(conv, x=x)[0] + added)


def test_half_precision_inside_alone_leaves_inputs_and_outputs_what_they_are():
    stored, kept = halved(W, TensorProto.FLOAT16, "W")
    model = graph("h = Cast <to = 10> (x) c = Conv(h, W) y = Cast <to = 1> (c)")
    model.graph.initializer.append(stored)
    with pytest.warns(UserWarning, match=r"model: its float16 become float32, exactly$"):
        plain = plain_model(model)
    assert np.array_equal(weights_of(plain.model)[0], kept)


def test_a_file_with_names_that_are_no_utf8_is_refused(tmp_path):
    data = graph("y = Conv(x, W)", W=W).SerializeToString()
    (tmp_path / "m.onnx").write_bytes(data.replace(b"Conv", b"Con\xff"))
    with pytest.raises(ModelError, match=r"m.onnx: expected names in UTF-8, found b'Con.xff'; the file is damaged"):
        plain_model(tmp_path / "m.onnx")
