"""Random surroundings of a convolution: the optimized graph gives equal results in stock onnxruntime, in both forms.

Every number is dyadic with few bits, so float32 sums and products are exact in any order and results compare with ==.
"""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import paconv
from paconv.passes.fuse.unfuse import canonical
from tests.effort import examples
from tests.passes.fuse.test_unfuse import signature, wiring
from tests.passes.graphs import image, model, pa_constants, run

STEPS = {
    "bn": "BatchNormalization <epsilon = 0.0> ({x}, g{i}, b{i}, m{i}, s{i})",
    "relu": "Relu ({x})",
    "clip": "Clip ({x}, zero, one)",
    "mul": "Mul ({x}, k{i})",
    "add": "Add (k{i}, {x})",
    "identity": "Identity ({x})",
    "dropout": "Dropout ({x})",
}
BETWEEN = STEPS | {
    "pool": "MaxPool <kernel_shape = [2, 2], pads = [1, 0, 0, 1]> ({x})",
    "twice": "Add ({x}, {x})",
    "abs": "Abs ({x})",
}
steps = st.lists(st.sampled_from(sorted(STEPS)), max_size=4)


between_steps = st.lists(st.sampled_from(sorted(BETWEEN)), max_size=4)


def chain(names, x, y, first, rng, channels, constants):
    """Text of the steps from tensor x to tensor y; their constants are added."""

    def small():
        return rng.integers(-4, 5, channels) / 4

    text = ""
    for i, name in enumerate([*names, "identity"], first):
        constants |= {f"g{i}": rng.choice([-2, -1, -0.5, 0, 0.5, 1, 2], channels), f"b{i}": small(), f"m{i}": small()}
        constants |= {f"s{i}": rng.choice([0.25, 1, 4], channels)}
        constants |= {f"k{i}": small().reshape(1, channels, 1, 1)}
        out = y if i == first + len(names) else f"t{i}"
        text += f"{out} = {BETWEEN[name].format(x=x, i=i)} "
        x = out
    return text


@settings(max_examples=examples(80), deadline=None, derandomize=True)
@given(
    before=steps,
    between=between_steps,
    after=steps,
    residual=st.booleans(),
    group=st.sampled_from([1, 2]),
    stride=st.sampled_from([1, 2]),
    seed=st.integers(0, 999),
)
def test_two_convolutions_in_any_surroundings_give_equal_results(before, between, after, residual, group, stride, seed):
    rng = np.random.default_rng(seed)
    constants = {"zero": np.float32(0), "one": np.float32(1)}
    conv = "q{n} = paconv.PAActivation({x}, v, levels) W{n} = paconv.PAWeight(W, u, alpha) "
    conv += "{y} = Conv <group = {group}, strides = [{s}, {s}], pads = [1, 0, 1, 2]> (q{n}, W{n}) "
    body = chain(before, "x", "a", 0, rng, 4, constants)
    body += conv.format(n=1, x="a", y="c", group=group, s=stride)
    body += chain(between, "c", "d", 10, rng, 4, constants)
    body += conv.format(n=2, x="d", y="e", group=group, s=1)
    body += chain(after, "e", "f", 20, rng, 4, constants)
    outputs = "float[b,4,i,j] f" + (", float[b,4,h,w] r" if residual else "")
    body += "r = Add(a, x)" if residual else ""
    constants = {name: np.float32(value) for name, value in constants.items()}
    reference = model(
        f"g (float[b,4,h,w] x) => ({outputs}) {{ {body} }}", **pa_constants(rng, 4, 4 // group, 3, 3), **constants
    )
    check(reference, 2, image(rng, 2, 4, 6, 7))


def check(reference, convolutions, x):
    """Both optimized forms and the way back compute the same; optimizing again changes nothing."""
    expected = run(reference, x=x)
    plain, fused = (paconv.optimize(reference, fuse=fuse) for fuse in (False, True))
    back = canonical(fused.model)
    assert signature(back) == signature(plain.model) and wiring(back) == wiring(plain.model)
    for optimized, fuse in ((plain, False), (fused, True)):
        assert optimized.report.totals["bit_convs"] == convolutions
        again = paconv.optimize(optimized.model, fuse=fuse)
        assert not again.report.changed and again.model == optimized.model
    for optimized in (plain.model, fused.model, back):
        for a, b in zip(expected, run(optimized, x=x), strict=True):
            assert np.array_equal(a, b)


OPERATIONS = {
    "conv": "q{i} = paconv.PAActivation ({a}, v{e}, levels) W{i} = paconv.PAWeight (W, u, alpha)"
    " [conv{i}] t{i} = Conv <pads = [1, 1, 1, 1]> (q{i}, W{i}) ",
    "real": "t{i} = Abs ({a}) ",
    "depthwise": "[real{i}] t{i} = Conv <group = 4, pads = [1, 1, 1, 1]> ({a}, depthwise, offset) ",
    "relu": "t{i} = Relu ({a}) ",
    "clip": "t{i} = Clip ({a}, low, high) ",
    "add": "t{i} = Add ({a}, {b}) ",
    "pool": "t{i} = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> ({a}) ",
    "pooled": "t{i} = GlobalAveragePool ({a}) ",
    "turn": "t{i} = Slice ({a}, last, least, one_axis, last) ",
    "split": "p{i}, q{i} = Split <axis = 1, num_outputs = 2> ({a}) t{i} = Concat <axis = 1> (q{i}, p{i}) ",
    "enlarge": 's{i} = Resize <mode = "nearest"> ({a}, , twice) t{i} = Slice (s{i}, one_axis, end, row, two) ',
    "pad": "s{i} = Pad ({a}, pads) t{i} = Slice (s{i}, one_axis, end, row) ",
    "concat": "s{i} = Concat <axis = 1> ({a}, {a}) t{i} = Slice (s{i}, two, six, one_axis) ",
}

CONSTANTS = {
    "low": np.float32(-0.5), "high": np.float32(0.75),
    "two": np.int64([2]), "six": np.int64([6]), "one_axis": np.int64([1]), "row": np.int64([2]),
    "last": np.int64([-1]), "least": np.int64([-(2**63)]), "end": np.int64([2**62]),
    "depthwise": np.float32([[1, 0, -0.5], [0, 1, 0], [0.5, 0, 0]] * 4).reshape(4, 1, 3, 3),
    "offset": np.float32([0, 0.5, -1, 0.25]), "twice": np.float32([1, 1, 2, 1]),
    "pads": np.int64([0, 0, 1, 0, 0, 0, 0, 0]),
}  # fmt: skip
"""What OPERATIONS read."""


@st.composite
def networks(draw):
    """(text, names of graph outputs): any of OPERATIONS on any earlier tensors, with two convolutions at least."""
    kinds = draw(st.lists(st.sampled_from([*OPERATIONS, "conv", "add"]), min_size=2, max_size=9))
    kinds[draw(st.integers(0, len(kinds) - 1))] = "conv"
    text, tensors = "", ["x"]
    for i, kind in enumerate([*kinds, "conv"]):
        recent = st.sampled_from(tensors[-3:])
        same_size = st.sampled_from([t for t in tensors if t == "x" or kinds[int(t[1:])] != "pooled"])
        operands = {"a": draw(recent), "b": draw(same_size), "e": draw(st.integers(0, 2))}
        text += OPERATIONS[kind].format(i=i, **operands)
        tensors.append(f"t{i}")
    unread = [t for t in tensors[1:] if f"({t}" not in text and f", {t})" not in text]
    return text, sorted({*unread, *draw(st.lists(st.sampled_from(tensors[1:]), max_size=2))})


@settings(max_examples=examples(150), deadline=None, derandomize=True)
@given(network=networks(), free=st.booleans(), seed=st.integers(0, 999))
def test_any_network_of_convolutions_and_elementwise_nodes_gives_equal_results(network, free, seed):
    rng = np.random.default_rng(seed)
    text, names = network
    constants = CONSTANTS | {"v0": np.float32([0, 0.5, 1])}
    constants |= {"v1": np.float32([0.25, 0.5, 1]), "v2": np.float32([-0.5, 1, 2])}
    outputs = ", ".join(f"float[b,4,h_{name},w_{name}] {name}" for name in names)
    size = "h,w" if free else "5,6"
    reference = model(
        f"g (float[b,4,{size}] x) => ({outputs}) {{ {text} }}", **pa_constants(rng, 4, 4, 3, 3), **constants
    )
    check(reference, text.count("[conv"), image(rng, 2, 4, 5, 6))
