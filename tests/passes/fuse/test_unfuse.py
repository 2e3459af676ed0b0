"""The way back: canonical(optimize(m)) is optimize(m, fuse=False), name by name."""

import numpy as np
import onnx
import pytest

import paconv
from paconv.errors import ModelError
from paconv.passes.fuse.unfuse import canonical, unfuse
from tests.passes.graphs import V_FROM_ZERO, canonical_form, image, initializer, model, ops, pa_conv, run

POOL = "kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]"
BODY = (
    "[stem] x0 = Neg (x)"
    + pa_conv("c1", "x0", "a1")
    + "r1 = Relu (a1)"
    + pa_conv("c2", "r1", "a2")
    + "s2 = Add (a2, x0) [k2] r2 = Clip (s2, low, high)"
    + pa_conv("c3", "r2", "a3")
    + pa_conv("c4", "r2", "a4")
    + "s = Add (a3, a4) e = Clip (s, , high)"
    + f"p = MaxPool <{POOL}> (e)"
    + pa_conv("c5", "p", "a5")
    + f"q = MaxPool <{POOL}> (a5) [cat] t = Concat <axis = 1> (a5, a5)"
    + pa_conv("c6", "t", "a6", "group = 2")
    + pa_conv("lone", "q2", "a7")
    + "[last] y = Add (a6, k)"
).replace(pa_conv("lone", "q2", "a7"), "q2 = Abs (q)" + pa_conv("lone", "q2", "z"))
TEXT = f"g (float[b,4,9,10] x) => (float[b,4,3,3] y, float[b,4,3,3] z, float[b,4,9,10] a3) {{ {BODY} }}"
CONSTANTS = {
    "low": np.float32(-0.5), "high": np.float32(0.75), "v": V_FROM_ZERO, "k": np.float32([1, 2, 3]),
}  # fmt: skip
PLAIN = canonical_form(TEXT, **CONSTANTS)
FUSED = paconv.optimize(PLAIN).model


def signature(graph_model):
    """PABitConv nodes: name, X, Y, attributes and the values of the constants."""
    found = []
    for node in graph_model.graph.node:
        if node.op_type == "PABitConv":
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            constants = [initializer(graph_model, name) for name in node.input[1:]]
            values = [(c.dtype.str, c.shape, c.tobytes()) for c in constants]
            found.append((node.name, node.input[0], node.output[0], attributes, values))
    return sorted(found, key=lambda each: each[0])


def wiring(graph_model):
    """Every node by its outputs: op, inputs (in any order for Add), without constants."""
    constants = {i.name for i in graph_model.graph.initializer}
    return {
        tuple(n.output): (n.op_type, sorted(i for i in n.input if i not in constants)) for n in graph_model.graph.node
    }


def test_the_example_uses_every_fused_form():
    assert {"PALevels", "PALevelConv", "PALevelMaxPool", "Concat", "PABitConv", "Transpose"} <= set(ops(FUSED))
    assert not {"Relu", "Clip"} & set(ops(FUSED)) and ops(FUSED).count("Add") == 1


def test_the_way_back_has_the_same_nodes_names_attributes_and_constants():
    found = canonical(FUSED)
    assert signature(found) == signature(PLAIN)
    assert wiring(found) == wiring(PLAIN)
    assert {f.name for f in found.functions} == {"PAUnpackWeight", "PABitConv"}
    assert found.opset_import == PLAIN.opset_import and found.metadata_props == PLAIN.metadata_props
    assert [n.name for n in found.graph.node if n.op_type == "Concat"] == ["cat"]
    onnx.checker.check_model(found, full_check=True)


def test_all_forms_compute_the_same():
    x = image(np.random.default_rng(1), 2, 4, 9, 10)
    expected = run(PLAIN, x=x)
    for other in (FUSED, canonical(FUSED)):
        for a, b in zip(expected, run(other, x=x), strict=True):
            assert np.array_equal(a, b)


def test_a_model_without_fused_ops_comes_back_itself():
    assert canonical(PLAIN) is PLAIN
    assert unfuse(PLAIN).levels == unfuse(PLAIN).channel_last == {}


def test_what_fused_tensors_are_is_told():
    unfused = unfuse(FUSED)
    assert unfused.channel_last["x0.channel_last"] == "x0"
    assert all(name == f"{of}.channel_last" for name, of in unfused.channel_last.items())
    sources = [levels.of for levels in unfused.levels.values()]
    assert sorted(set(sources)) == ["a5", "e", "p", "r1", "r2", "t", "x0"]
    computed = {name for n in FUSED.graph.node for name in n.output}
    assert set(unfused.channel_last) | set(unfused.levels) <= computed


def test_a_name_that_looks_like_ours_does_not_mislead():
    text = f"g (float[b,4,5,6] x) => (float[b,4,5,6] y, float[b,5,6,4] t) {{ " \
        f"{pa_conv('c1', 'x', 'a')} {pa_conv('c2', 'a', 'y')}" \
        ' "x.channel_last" = Neg (x) "a.channel_last.channel_last" = Abs ("x.channel_last")' \
        ' t = Transpose <perm = [0, 2, 3, 1]> ("a.channel_last.channel_last") }'  # fmt: skip
    plain = canonical_form(text)
    fused = paconv.optimize(plain).model
    assert ops(fused).count("PALevelConv") == 2
    assert wiring(canonical(fused)) == wiring(plain) and signature(canonical(fused)) == signature(plain)


def changed(change):
    copy = onnx.ModelProto()
    copy.CopyFrom(FUSED)
    change(copy, {n.name or n.output[0]: n for n in copy.graph.node})
    return copy


def set_names(node, names):
    next(a for a in node.attribute if a.name == "names").strings[:] = [n.encode() for n in names]


def levels_from_elsewhere(copy, nodes):
    copy.graph.node.insert(1, onnx.helper.make_node("Cast", ["x"], ["bytes"], to=onnx.TensorProto.UINT8))
    copy.graph.node.insert(2, onnx.helper.make_node("Transpose", ["bytes"], ["other"], perm=[0, 2, 3, 1]))
    nodes["c2"].input[0] = "other"


def floats_from_elsewhere(copy, nodes):
    copy.graph.node.insert(1, onnx.helper.make_node("Transpose", ["x"], ["other"], perm=[0, 2, 3, 1]))
    nodes["c2"].input[1] = "other"


def fused_output(copy, nodes):
    copy.graph.output.append(onnx.helper.make_tensor_value_info("a1.levels", onnx.TensorProto.UINT8, [None] * 4))
    nodes["c1"].output[2] = "a1.levels"


def foreign_reader(copy, nodes):
    copy.graph.node.append(onnx.helper.make_node("Abs", [nodes["c5"].output[0]], ["foreign"]))
    copy.graph.output.append(onnx.helper.make_tensor_value_info("foreign", onnx.TensorProto.FLOAT, [None] * 4))


@pytest.mark.parametrize(
    "change, node, said",
    [
        (lambda m, n: set_names(n["c1"], ["a1", "", ""]), "PALevelConv 'c1'", "a name for the sum"),
        (lambda m, n: set_names(n["c1"], ["", "", "r1"]), "PALevelConv 'c1'", "names"),
        (lambda m, n: set_names(n["c1"], ["a1", "r1"]), "PALevelConv 'c1'", "3 names"),
        (lambda m, n: set_names(n["c1"], ["x", "", "r1"]), "PALevelConv 'c1'", "doesn't have; found 'x'"),
        (lambda m, n: set_names(n["c3"], ["other", "", ""]), "PALevelConv 'c3'", "the result 'other'; found 'a3'"),
        (lambda m, n: n["c1"].attribute.remove(next(a for a in n["c1"].attribute if a.name == "names")),
         "PALevelConv 'c1'", "no names"),
        (levels_from_elsewhere, "PALevelConv 'c2'", "level indexes of fused nodes to read; found 'other'"),
        (floats_from_elsewhere, "PALevelConv 'c2'", "a channel-last tensor of fused nodes to read; found 'other'"),
        (fused_output, "PALevelConv 'c1'", "the graph output 'a1.levels'"),
        (foreign_reader, "Abs 'foreign'", "no reader of fused tensors but"),
    ],
)  # fmt: skip
def test_a_malformed_fused_model_is_refused_by_node(change, node, said):
    with pytest.raises(ModelError) as refused:
        canonical(changed(change), "pa.onnx")
    assert str(refused.value).startswith(f"pa.onnx: {node}: expected ") and said in str(refused.value)


def test_a_fused_model_in_a_layout_of_one_cpu_is_refused_with_the_way_out():
    changed = onnx.ModelProto()
    changed.CopyFrom(FUSED)
    node = onnx.helper.make_node("ReorderInput", ["x"], ["x.blocked"], domain="com.microsoft.nchwc")
    changed.graph.node.insert(0, node)
    with pytest.raises(ModelError, match=r"pa.onnx: expected ops of ONNX and paconv; found .*ORT_ENABLE_EXTENDED"):
        canonical(changed, "pa.onnx")


def test_a_fused_node_without_its_function_is_refused_with_the_file_s_name():
    broken = model("g (float[b,4,h,w] x) => (float[b,4,h,w] y) { y = Relu (x) }")
    broken.graph.node.append(onnx.helper.make_node("PALevels", ["x"], ["l"], domain="paconv"))
    with pytest.raises(ModelError, match=r"^pa\.onnx: "):
        canonical(broken, "pa.onnx")
