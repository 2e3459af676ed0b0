"""Packed weights of real convolutions, shared initializers and dead nodes."""

import numpy as np
import pytest

from paconv.passes.graph.reasons import REASONS, explain
from paconv.passes.lower.lower_conv import LOWER_CONV
from paconv.passes.lower.lower_weights import LOWER_WEIGHTS
from paconv.passes.tidy.remove_dead import REMOVE_DEAD
from paconv.passes.tidy.share_constants import SHARE_CONSTANTS
from tests.passes.graphs import apply, image, initializer, model, ops, pa_constants, run

WEIGHTS_ONLY = "W_bar = paconv.PAWeight(W, u, alpha) [conv] y = Conv <pads = [1, 1, 1, 1]> (x, W_bar)"


def graph(body, outputs="float[b,5,h,w] y", **changed):
    constants = {**pa_constants(np.random.default_rng(0), 5, 4, 3, 3), **changed}
    return model(f"g (float[b,4,h,w] x) => ({outputs}) {{ {body} }}", **constants)


def test_a_weight_with_real_activations_is_packed_and_its_conv_untouched():
    reference = graph(WEIGHTS_ONLY)
    packed, account = apply((LOWER_CONV, LOWER_WEIGHTS), reference)
    assert [(r.what, r.node) for r in account.rewritten] == [("weights-only", "conv")]
    assert ops(packed) == ["PAUnpackWeight", "Conv"] and packed.graph.node[1] == reference.graph.node[1]
    assert initializer(packed, packed.graph.node[0].input[0]).shape == (3, 23)  # 180 weights of 3 bits
    x = image(np.random.default_rng(1), 2, 4, 5, 6)
    assert np.array_equal(run(reference, x=x)[0], run(packed, x=x)[0])


def test_a_weight_read_by_several_convolutions_is_packed_once():
    body = WEIGHTS_ONLY + " [other] z = Conv <dilations = [2, 2]> (x, W_bar)"
    packed, account = apply(LOWER_WEIGHTS, graph(body, "float[b,5,h,w] y, float[b,5,i,j] z"))
    assert [r.node for r in account.rewritten] == ["conv", "other"]
    assert ops(packed) == ["PAUnpackWeight", "Conv", "Conv"]


def test_a_weight_that_cannot_be_packed_is_reported_under_its_convolution():
    reference = graph(WEIGHTS_ONLY, alpha=np.float32([-2, -1, 0.5, 1, 2]))
    packed, account = apply(LOWER_WEIGHTS, reference)
    assert [(s.reason, s.node) for s in account.skipped] == [("no-zero-weight-level", "conv")]
    assert packed.graph.node == reference.graph.node


def test_a_weight_of_another_rank_stays_a_function_call():
    reference = graph(
        "W_bar = paconv.PAWeight(W, u, alpha) y = MatMul(x, W_bar)", "float[b,4,h,n] y", W=np.ones((6, 7), np.float32)
    )
    _, account = apply(LOWER_WEIGHTS, reference)
    assert [(s.reason, s.node) for s in account.skipped] == [("not-2d", "W_bar")]


def test_equal_initializers_of_paconv_nodes_are_shared_and_others_are_not():
    body = (
        "q = paconv.PAActivation(x, v, levels) W_bar = paconv.PAWeight(W, u, alpha)"
        " [a] y = Conv(q, W_bar) [b] z = Conv <strides = [2, 2]> (q, W_bar)"
        " m = Mul(x, k1) n = Mul(m, k2)"
    )
    one = np.ones(1, np.float32)
    reference = graph(body, "float[b,5,h,w] y, float[b,5,i,j] z, float[b,4,h,w] n", k1=one, k2=one)
    shared, _ = apply((LOWER_CONV, REMOVE_DEAD, SHARE_CONSTANTS), reference)
    a, b = (n for n in shared.graph.node if n.op_type == "PABitConv")
    assert list(a.input) == list(b.input)
    assert {"k1", "k2"} <= {i.name for i in shared.graph.initializer}
    x = image(np.random.default_rng(1), 2, 4, 5, 6)
    for expected, found in zip(run(reference, x=x), run(shared, x=x), strict=True):
        assert np.array_equal(expected, found)


def test_equal_bytes_of_another_type_or_shape_are_not_shared():
    body = "p = paconv.PAActivation(x, v, levels) q = paconv.PAActivation(p, v2, levels2) y = Add(p, q)"
    zero = np.zeros(2, np.float32)
    reference = graph(body, "float[b,4,h,w] y", v=zero[:1], v2=zero, levels=zero, levels2=np.zeros(3, np.float32))
    shared, _ = apply(SHARE_CONSTANTS, reference)
    assert [list(n.input) for n in shared.graph.node[:2]] == [["x", "v", "levels"], ["p", "levels", "levels2"]]
    assert np.array_equal(initializer(shared, "v"), zero[:1])


def test_dead_nodes_go_in_chains_and_side_outputs_keep_nodes_alive():
    reference = graph(
        "a = Neg(x) d = Abs(a) e = Neg(d) y, i = TopK <axis = 1> (a, k) z = Cast <to = 1> (i)",
        "float[b,2,h,w] z",
        k=np.int64([2]),
    )
    result, account = apply(REMOVE_DEAD, reference)
    assert ops(result) == ["Neg", "TopK", "Cast"] and {r.node for r in account.rewritten} == {"d", "e"}


@pytest.mark.parametrize("code", REASONS)
def test_every_reason_code_is_kebab_case_and_has_one_sentence(code):
    assert code == code.lower() and " " not in code and "_" not in code
    assert explain(code)[0].isupper() and explain(code).endswith(".") and ". " not in explain(code)
