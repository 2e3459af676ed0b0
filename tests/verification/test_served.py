"""verify covers what rounds otherwise than the exported model: depthwise convolutions, folded batch norms and means."""

import numpy as np
import onnx
import pytest

import paconv
from paconv.passes.fuse.unfuse import unfuse
from paconv.verification.served import as_served
from tests.passes.fuse.test_squeeze import gated, reference
from tests.passes.graphs import image, ops

EXPORTED = reference(gated())
FORMS = {fuse: paconv.optimize(EXPORTED, fuse=fuse).model for fuse in (True, False)}
FEEDS = {"x": image(np.random.default_rng(2), 2, 4, 6, 7)}


def damaged(fused, op, index, change):
    """One form with a constant input of its first node of this op changed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(FORMS[fused])
    node = next(n for n in copy.graph.node if n.op_type == op)
    stored = next(i for i in copy.graph.initializer if i.name == node.input[index])
    array = onnx.numpy_helper.to_array(stored).copy()
    array.reshape(-1)[1] += change
    copy.graph.initializer.append(onnx.numpy_helper.from_array(array, "damaged"))
    node.input[index] = "damaged"
    return copy


@pytest.mark.parametrize("fused", FORMS, ids=["fused", "canonical"])
def test_both_forms_are_verified(fused):
    assert paconv.verify(EXPORTED, FORMS[fused], FEEDS).first_difference is None


def test_a_row_that_is_not_that_of_a_mean_is_found():
    found = paconv.verify(EXPORTED, damaged(True, "MatMul", 0, 1e-3), FEEDS)
    assert found.first_difference.startswith("tensor 'm': ") and "beyond their bound" in found.first_difference


@pytest.mark.parametrize("index", [1, 2], ids=["weights", "bias"])
@pytest.mark.parametrize("fused", FORMS, ids=["fused", "canonical"])
def test_a_depthwise_convolution_that_took_its_batch_norm_in_wrongly_is_found(fused, index):
    op, index = ("PADepthwiseConv", index + 1) if fused else ("Conv", index)
    found = paconv.verify(EXPORTED, damaged(fused, op, index, 1e-4), FEEDS)
    assert found.first_difference.startswith("tensor 'n': ")
    assert "of the optimized model are beyond their bound" in found.first_difference


def test_a_reference_whose_own_batch_norm_is_another_is_found():
    other = reference(gated(), n_var=np.float32([1, 4, 0.25, 17]))
    assert paconv.verify(other, FORMS[True], FEEDS).first_difference.startswith("tensor 'n': ")


def test_the_canonical_form_as_served_has_the_ops_that_serve():
    served = as_served(unfuse(FORMS[True]))
    assert {"PADepthwiseConv", "MatMul", "PABitConv"} <= set(ops(served)) and "ReduceMean" not in ops(served)
    assert as_served(unfuse(FORMS[False])) is FORMS[False]


def test_a_sigmoid_that_is_served_channel_last_is_compared_with_one_of_that_layout():
    silu = reference(gated("s = Sigmoid (n) r = Mul (n, s) "))
    unfused = unfuse(paconv.optimize(silu).model)
    assert unfused.elementwise == ("s",)
    reads = {node.output[0]: node.input[0] for node in as_served(unfused).graph.node if node.op_type != "Conv"}
    assert (reads["s"], reads["s.served.y"], reads["s.served.x"]) == ("s.served.y", "s.served.x", "n")
    assert "k.served.y" not in reads  # the gate's is channel-first in both
