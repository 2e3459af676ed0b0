"""A model survives the way through graphsurgeon: what no pass touches is the same, byte for byte."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from paconv.errors import ModelError
from paconv.passes.graph.model_graph import ModelGraph, inner_convs
from tests.passes.graphs import model, pa_constants

CONV = "q = paconv.PAActivation(x, v, levels) W_bar = paconv.PAWeight(W, u, alpha) y = Conv(q, W_bar) "
IF = (
    "z = If (flag) <then_branch = t () => (float[b,4,h,w] a) { a = Conv(x, outer) },"
    " else_branch = e () => (float[b,4,h,w] c) { c = Abs(x) }>"
)


def reference(body=CONV, outputs="float[b,4,h,w] y", **constants):
    return model(
        f"g (float[b,4,h,w] x) => ({outputs}) {{ {body} }}",
        **pa_constants(np.random.default_rng(0), 4, 4, 1, 1),
        **constants,
    )


def test_a_model_comes_back_equal():
    original = reference()
    original.metadata_props.add(key="input_shape", value="4,5,6")
    original.producer_name, original.doc_string, original.model_version = "someone", "of a model", 7
    assert ModelGraph(original).export() == original


def test_subgraphs_and_the_initializers_that_only_they_read_are_kept():
    constants = {"flag": np.array(True), "outer": np.ones((4, 4, 1, 1), np.float32)}
    original = reference(CONV + IF, "float[b,4,h,w] y, float[b,4,h,w] z", **constants)
    graph = ModelGraph(original)
    assert graph.export() == original
    assert {"x", "outer", "a", "c"} <= graph.protected
    assert inner_convs(original) == [("a", "inside-subgraph")]


def test_attribute_types_that_graphsurgeon_does_not_carry_are_kept_without_a_warning(capfd):
    original = model("g (float[b,4,h,w] x) => (float[b,4,h,w] y) { y = Identity(x) }")
    optional = helper.make_node("Optional", [], ["nothing"])
    optional.attribute.append(helper.make_attribute("type", helper.make_tensor_type_proto(TensorProto.FLOAT, [1])))
    original.graph.node.insert(0, optional)
    sequence = helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
    original.graph.output.append(helper.make_value_info("nothing", helper.make_optional_type_proto(sequence)))
    assert ModelGraph(original).export() == original
    assert capfd.readouterr() == ("", "")


def test_a_default_of_a_graph_input_stays_a_default():
    original = model(
        "g (float[b,4,h,w] x, float[3] v) => (float[b,4,h,w] y) {" + CONV + "}",
        **pa_constants(np.random.default_rng(0), 4, 4, 1, 1),
    )
    assert ModelGraph(original).export() == original


def test_unused_initializers_and_functions_go_and_used_ones_stay():
    original = reference("y = mine.Twice(x)", spare=np.ones(3, np.float32))
    functions = ("Twice", "s = mine.Once(x) y = Add(s, s)"), ("Once", "y = Identity(x)"), ("Never", "y = Neg(x)")
    for name, body in functions:
        text = f'<domain: "mine", opset_import: ["" : 18, "mine" : 1]> {name} (x) => (y) {{ {body} }}'
        original.functions.append(onnx.parser.parse_function(text))
    original.opset_import.append(helper.make_opsetid("mine", 1))
    exported = ModelGraph(original).export()
    assert not exported.graph.initializer
    assert [f.name for f in exported.functions] == ["Twice", "Once"]


def test_doc_strings_of_nodes_are_dropped():
    original = reference()
    original.graph.node[0].doc_string = "a stack trace of many lines"
    assert ModelGraph(original).export().graph.node[0].doc_string == ""


def test_convolutions_inside_other_functions_are_found():
    original = reference("y = mine.Block(x, W)")
    text = '<domain: "mine", opset_import: ["" : 18]> Block (x, w) => (y) { y = Conv(x, w) }'
    original.functions.append(onnx.parser.parse_function(text))
    original.opset_import.append(helper.make_opsetid("mine", 1))
    assert inner_convs(original) == [("y", "inside-function")]


def test_labels_are_unique_and_prefer_the_nodes_name():
    graph = ModelGraph(reference('["n"] a = Neg(x) ["n"] b = Neg(a) y = Neg(b)'))
    assert [graph.label(n) for n in graph.nodes] == ["n", "b", "y"]


def test_new_constants_never_take_a_name_in_use():
    graph = ModelGraph(reference())
    assert [graph.constant(np.zeros(1), n).name for n in ("W", "W", "fresh", "fresh")] == [
        "W.1",
        "W.2",
        "fresh",
        "fresh.1",
    ]


def test_an_inconsistent_model_is_refused():
    with pytest.raises(ModelError, match="inconsistent"):
        ModelGraph(reference("y = MatMul(W, v)"))
