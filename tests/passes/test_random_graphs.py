"""Random surroundings of a convolution: the optimized graph gives equal results in stock onnxruntime.

Every number is dyadic with few bits, so float32 sums and products are exact in any order and results compare with ==.
"""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import paconv
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
steps = st.lists(st.sampled_from(sorted(STEPS)), max_size=4)


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
        text += f"{out} = {STEPS[name].format(x=x, i=i)} "
        x = out
    return text


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    before=steps, between=steps, after=steps, residual=st.booleans(), group=st.sampled_from([1, 2]),
    stride=st.sampled_from([1, 2]), seed=st.integers(0, 999),
)
def test_two_convolutions_in_any_surroundings_give_equal_results(
    before, between, after, residual, group, stride, seed
):
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
    optimized = paconv.optimize(reference)
    assert optimized.report.totals["bit_convs"] == 2
    again = paconv.optimize(optimized.model)
    assert not again.report.changed and again.model == optimized.model
    x = image(rng, 2, 4, 6, 7)
    for expected, found in zip(run(reference, x=x), run(optimized.model, x=x), strict=True):
        assert np.array_equal(expected, found)
