"""verify covers the fused form: each fused tensor against the canonical form, which is compared with the reference."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import paconv
from paconv.cli.main import cli
from paconv.errors import VerifyError
from paconv.ops import PA_LEVEL_CONV
from paconv.passes.fuse.unfuse import unfuse
from paconv.verification.fused import check_fused, run_kernels
from tests.passes.graphs import V_FROM_ZERO, model, ops, pa_constants, pa_conv
from tests.verification.test_verify import REFERENCE as BATCH_NORMS

BODY = (
    pa_conv("c1", "x", "a1") + "r1 = Relu (a1)" + pa_conv("c2", "r1", "a2") + "s = Add (a2, x) e = Relu (s)"
    + "p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (e)" + pa_conv("c3", "e", "a3")
    + "q = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a3)" + pa_conv("c4", "q", "a4") + "y = Add (a4, p)"
)  # fmt: skip
TEXT = f"net (float[batch,4,8,8] x) => (float[batch,4,4,4] y) {{ {BODY} }}"
REFERENCE = model(TEXT, **(pa_constants(np.random.default_rng(0), 4, 4, 3, 3) | {"v": V_FROM_ZERO}))
FUSED = paconv.optimize(REFERENCE).model
FEEDS = {"x": np.random.default_rng(1).standard_normal((2, 4, 8, 8)).astype(np.float32)}
INPUTS = [t.name for t in PA_LEVEL_CONV.inputs]


def test_the_example_has_every_fused_op():
    assert {"PALevels", "PALevelConv", "PALevelMaxPool"} <= set(ops(FUSED))


def changed(label, name, change):
    """FUSED with one constant input of one PALevelConv changed in place by `change`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(FUSED)
    node = next(n for n in copy.graph.node if n.name == label)
    stored = {i.name: i for i in copy.graph.initializer}
    array = onnx.numpy_helper.to_array(stored[node.input[INPUTS.index(name)]]).copy()
    change(array)
    node.input[INPUTS.index(name)] = "damaged"
    copy.graph.initializer.append(onnx.numpy_helper.from_array(array, "damaged"))
    return copy


@pytest.mark.parametrize("reference", [REFERENCE, BATCH_NORMS], ids=["residual", "batch norms"])
def test_a_fused_model_is_verified_like_its_canonical_form(reference):
    fused, plain = paconv.optimize(reference).model, paconv.optimize(reference, fuse=False).model
    found, expected = (paconv.verify(reference, each) for each in (fused, plain))
    assert found.ok and expected.ok and expected.fused is None
    assert [vars(layer) for layer in sorted(found.layers, key=lambda each: each.name)] == [
        vars(layer) for layer in sorted(expected.layers, key=lambda each: each.name)
    ]
    assert found.fused.levels and found.fused.floats
    assert found.end_to_end.decisions == expected.end_to_end.decisions


def nudge(array):
    array[0, 1] = np.nextafter(array[0, 1], np.float32(np.inf))


def lower_bound(array):
    array[0] = 0.25


@pytest.mark.parametrize(
    "label, name, change, said",
    [
        ("c1", "v1", nudge, "layer 'c2': decisions beside the endpoints: "),
        ("c1", "clip", lower_bound, "tensor 'r1': "),
        ("c2", "clip", lower_bound, "tensor 'e': "),
    ],
)
def test_a_changed_finish_is_found(label, name, change, said):
    result = paconv.verify(REFERENCE, changed(label, name, change), FEEDS)
    assert not result.ok and result.first_difference.startswith(said)


def test_a_miswired_residual_is_found():
    copy = onnx.ModelProto()
    copy.CopyFrom(FUSED)
    c2 = next(n for n in copy.graph.node if n.name == "c2")
    assert c2.input[1] == "x.channel_last"
    c1 = next(n for n in copy.graph.node if n.name == "c1")
    c1.output[0] = "r1.channel_last"
    c2.input[1] = "r1.channel_last"
    result = paconv.verify(REFERENCE, copy, FEEDS)
    assert all(layer.ok for layer in result.layers)
    assert result.first_difference == result.glue and "tensor 'e'" in result.glue


LEVEL_TENSORS = list(unfuse(FUSED).levels)
FLOAT_TENSORS = list(unfuse(FUSED).channel_last)


@pytest.mark.parametrize("damaged", LEVEL_TENSORS + FLOAT_TENSORS)
def test_a_kernel_that_computes_one_fused_tensor_wrong_is_found_by_that_tensor(damaged):
    def faulty(model, feeds, tensors, label):
        values = run_kernels(model, feeds, tensors, label)
        if damaged in values:
            array = values[damaged].copy()
            last = (-1,) * 4
            array[last] = array[last] + 1 if array.dtype == np.uint8 else np.nextafter(array[last], np.float32(np.inf))
            values[damaged] = array
        return values

    result = check_fused(FUSED, unfuse(FUSED), FEEDS, "pa.onnx", faulty)
    assert not result.ok and result.difference.startswith(f"tensor '{damaged}': 1 values differ, first at (1, ")
    assert (result.levels, result.floats) == (len(LEVEL_TENSORS), len(FLOAT_TENSORS))


def test_of_several_wrong_tensors_the_first_in_the_graph_is_named():
    def faulty(model, feeds, tensors, label):
        values = run_kernels(model, feeds, tensors, label)
        return {k: v + 1 if model is FUSED and k in LEVEL_TENSORS else v for k, v in values.items()}

    first = next(name for n in FUSED.graph.node for name in n.output if name in LEVEL_TENSORS)
    assert check_fused(FUSED, unfuse(FUSED), FEEDS, "pa.onnx", faulty).difference.startswith(f"tensor '{first}': ")


def test_a_fused_model_is_no_reference():
    with pytest.raises(VerifyError, match="optimized itself"):
        paconv.verify(FUSED, FUSED)


def test_the_command_shows_the_fused_tensors_and_names_what_differs(tmp_path):
    for name, proto in (("model", REFERENCE), ("pa", FUSED), ("bad", changed("c1", "v1", nudge))):
        onnx.save(proto, tmp_path / f"{name}.onnx")
    arguments = ["verify", str(tmp_path / "model.onnx"), str(tmp_path / "pa.onnx")]
    table = CliRunner().invoke(cli, arguments)
    levels, floats = len(LEVEL_TENSORS), len(FLOAT_TENSORS)
    said = f"tensors between fused nodes, {levels} of levels and {floats} of floats: equal, bit for bit"
    assert table.exit_code == 0 and said in table.stdout
    data = json.loads(CliRunner().invoke(cli, [*arguments, "--format", "json"]).stdout)
    assert data["fused"] == {"levels": levels, "floats": floats, "difference": None, "ok": True}
    bad = CliRunner().invoke(cli, [*arguments[:2], str(tmp_path / "bad.onnx")])
    assert isinstance(bad.exception, VerifyError) and "layer 'c2': decisions" in str(bad.exception)
