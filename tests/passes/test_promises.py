"""A broken promise of a pass is seen, of each kind. tests/passes/promises.py checks them in all tests of this room."""

from dataclasses import replace

import numpy as np
import pytest

import paconv
from paconv.passes.fold.fold_before import FOLD_BEFORE
from paconv.passes.fold.integer_levels import INTEGER_LEVELS
from paconv.passes.fuse.fuse_levels import FUSE_LEVELS
from paconv.passes.graph.bit_conv import bit_convs, parameter, set_parameter
from paconv.passes.graph.graph_pass import PassResult
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.graph.promises import ENDPOINTS_ASCEND, IN_ORDER
from paconv.passes.lower.lower_conv import LOWER_CONV
from paconv.passes.tidy.drop_no_ops import DROP_NO_OPS
from paconv.passes.tidy.merge_pad import MERGE_PAD
from paconv.passes.tidy.remove_dead import REMOVE_DEAD
from paconv.pipeline import FUSION, PIPELINE, TIDYING
from tests.passes.graphs import batch_norm, model, pa_constants, pa_conv
from tests.passes.promises import BrokenPromise, checked

PASSES = tuple(dict.fromkeys(each for group in (*PIPELINE, *FUSION, *TIDYING) for each in group))
PROMISES = tuple(dict.fromkeys(promise for each in PASSES for promise in (*each.requires, *each.ensures)))


def graph() -> ModelGraph:
    """A graph in which every pass has something to do."""
    text = (
        "i = Identity (x) q = paconv.PAActivation (i, v, levels) p = Pad (q, pads) w = paconv.PAWeight (W, u, alpha)"
        " [c1] c1 = Conv (p, w) n1 = BatchNormalization <epsilon = 0.0> (c1, n_gamma, n_beta, n_mean, n_var)"
        f" r1 = Relu (n1) {pa_conv('c2', 'r1', 'c2')}"
        " n2 = BatchNormalization <epsilon = 0.0> (c2, n_gamma, n_beta, n_mean, n_var)"
        f" a2 = Add (n2, c1) r2 = Relu (a2) p2 = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (r2)"
        f" s2 = Slice (r2, last, least, one_axis, last) {pa_conv('c3', 'p2', 'c3')} {pa_conv('c4', 's2', 'c4')}"
        f" {pa_conv('c5', 'r2', 'c5')} {pa_conv('c6', 'r2', 'c6')}"
        " [real] c7 = Conv <pads = [1, 1, 1, 1]> (x, w) a3 = Add (c3, c4) a4 = Add (c5, c6) a5 = Add (a3, a4)"
        " [real2] d1 = Conv <group = 4> (a5, W_depthwise)"
        " n3 = BatchNormalization <epsilon = 0.0> (d1, n_gamma, n_beta, n_mean, n_var)"
        " m3 = GlobalAveragePool (n3) g3 = Sigmoid (m3) p3 = Mul (n3, g3)"
        f" {pa_conv('c8', 'p3', 'c8')} z = Abs (r2) a6 = Add (z, c7) a7 = Add (c8, a6) y = Add (a5, a7)"
    )
    constants = {
        "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]), "last": np.int64([-1]), "least": np.int64([-(2**63)]),
        "one_axis": np.int64([1]),
    }  # fmt: skip
    constants["W_depthwise"] = np.float32([1, -1, 2, 0.5]).reshape(4, 1, 1, 1)
    constants |= batch_norm("n", [1, -2, 0.5, 4], [0.5, 0.25, 0.75, -1], [0, 1, 3, -0.5], [1, 4, 0.25, 16])
    constants |= pa_constants(np.random.default_rng(0), 4, 4, 3, 3)
    return ModelGraph(model(f"g (float[b,4,6,6] x) => (float[b,4,6,6] y) {{ {text} }}", **constants))


def before(wanted, start=None):
    """The graph in which a pass is run for the first time that it is needed."""
    found = start or graph()
    for group in (*PIPELINE, *FUSION, *TIDYING):
        changed = True
        while changed:
            changed = False
            for each in group:
                if each is wanted and any(promise.holds(found) for promise in each.ensures):
                    return found
                changed |= bool(checked(each, found).rewritten)
    raise AssertionError(f"{wanted.name} was never needed")


def idle(each):
    """The pass, but it does nothing."""
    return replace(each, run=lambda _: PassResult())


@pytest.mark.parametrize("each", PASSES, ids=lambda each: each.name)
def test_a_pass_that_does_nothing_breaks_its_promise_and_the_pass_itself_keeps_it(each):
    found = before(each)
    with pytest.raises(BrokenPromise, match=f"{each.name} ensures that "):
        checked(idle(each), found)
    assert checked(each, found).rewritten


def unsorted(found):
    conv = bit_convs(found)[0]
    set_parameter(conv, found, "v", parameter(conv, "v")[:, ::-1])


def without_a_bias(found):
    bit_convs(found)[0].inputs.pop()


def doubled(found):
    conv = bit_convs(found)[0]
    set_parameter(conv, found, "beta", 2 * parameter(conv, "beta"))


def backwards(found):
    found.nodes.reverse()


def read_by_none(found):
    conv = next(node for node in found.nodes if node.op == "PALevelConv")
    conv.outputs[0] = found.variable("left_over", np.float32, None)


BREAKING = {
    IN_ORDER: (REMOVE_DEAD, backwards),
    ENDPOINTS_ASCEND: (FOLD_BEFORE, unsorted),
    LOWER_CONV.ensures[1]: (LOWER_CONV, without_a_bias),
    INTEGER_LEVELS.ensures[1]: (INTEGER_LEVELS, doubled),
    FUSE_LEVELS.ensures[1]: (FUSE_LEVELS, read_by_none),
}
"""Promises that hold where nothing is done: a pass that makes or needs each, and what breaks it."""


@pytest.mark.parametrize("promise", BREAKING, ids=lambda promise: promise.says)
def test_what_is_broken_in_a_graph_is_seen(promise):
    each, spoil = BREAKING[promise]
    found = before(each)
    each.run(found)
    assert promise.holds(found) == []
    spoil(found)
    assert promise.holds(found) != []
    with pytest.raises(BrokenPromise, match=f" that {promise.says}; but "):
        checked(idle(each), found)


def test_every_promise_is_one_of_these_or_says_why_no_graph_shows_it():
    seen = {promise for each in PASSES for promise in each.ensures if promise.holds(before(each))} | {*BREAKING}
    assert [promise.says for promise in PROMISES if (promise in seen) == bool(promise.unseen)] == []
    assert all((promise.breaks is None) == bool(promise.unseen) for promise in PROMISES)


def test_a_pass_that_runs_too_early_is_seen():
    found = graph()
    with pytest.raises(BrokenPromise, match="merge-pad requires that no node reads an Identity .* is still read"):
        checked(MERGE_PAD, found)
    checked(DROP_NO_OPS, found)
    checked(MERGE_PAD, found)


def test_what_a_pass_left_alone_with_a_reason_breaks_no_promise_and_without_one_it_does():
    reference = model(
        "g (float[b,4,6,6] x, float[4] bias) => (float[b,4,4,4] y) {"
        " q = paconv.PAActivation (x, v, levels) w = paconv.PAWeight (W, u, alpha) [c] y = Conv (q, w, bias) }",
        **pa_constants(np.random.default_rng(0), 4, 4, 3, 3),
    )
    result = checked(LOWER_CONV, ModelGraph(reference))
    assert [skip.reason for skip in result.skipped] == ["bias-not-constant"]
    with pytest.raises(BrokenPromise, match="c: it is a Conv of a PAActivation and a PAWeight"):
        checked(idle(LOWER_CONV), ModelGraph(reference))


def test_the_pipeline_checks_promises_in_tests(monkeypatch):
    monkeypatch.setattr("paconv.pipeline.PIPELINE", ((idle(DROP_NO_OPS),), *PIPELINE))
    text = "i = Identity (x) y = Abs (i)"
    with pytest.raises(BrokenPromise, match="drop-no-ops ensures"):
        paconv.optimize(model(f"g (float[b,4,6,6] x) => (float[b,4,6,6] y) {{ {text} }}"), allow_unchanged=True)
