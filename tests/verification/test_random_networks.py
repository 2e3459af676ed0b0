"""verify accepts what optimize makes of any network of integer and real levels, whatever the seed of its inputs."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import paconv
from tests.effort import examples
from tests.passes.graphs import batch_norm, model, weights
from tests.passes.test_random_graphs import CONSTANTS, networks
from tests.snapping import on_grid

NORM = "n{i} = BatchNormalization (t{i}, bn_gamma, bn_beta, bn_mean, bn_var) "


@settings(max_examples=examples(30), deadline=None, derandomize=True)
@given(network=networks(), real=st.sampled_from([(), ("alpha",), ("levels",)]), seed=st.integers(0, 999))
def test_what_optimize_makes_is_verified_whatever_the_seed(network, real, seed):
    rng = np.random.default_rng(seed)
    text, names = network
    levels = {"alpha": np.insert(np.sort(rng.standard_normal(4)), 2, 0), "levels": [0, *np.abs(rng.standard_normal(3))]}
    constants = CONSTANTS | {"W": weights(rng, 4, 4, 3, 3), "u": [-1, -0.5, 0.5, 1]}
    constants |= {f"v{e}": np.float32(np.sort(rng.standard_normal(3))) for e in range(3)}
    for name, values in levels.items():
        values = np.float32(values)
        constants[name] = values if name in real else on_grid(values, 15 if name == "alpha" else 31)
    gamma, beta, mean = rng.standard_normal((3, 4))
    constants |= batch_norm("bn", gamma, beta, mean, rng.uniform(0.5, 2, 4))
    text, normed = with_batch_norms(text, rng)
    outputs = ", ".join(f"float[b,4,h_{name},w_{name}] {name}" for name in sorted({*names, *normed}))
    reference = model(f"g (float[b,4,5,6] x) => ({outputs}) {{ {text} }}", **constants)
    optimized = paconv.optimize(reference).model
    results = [paconv.verify(reference, optimized, seed=each) for each in range(3)]
    assert [result.first_difference for result in results] == [None] * 3
    assert {layer.integers == 0 for layer in results[0].layers} == {bool(real)}


def with_batch_norms(text: str, rng: np.random.Generator) -> tuple[str, list[str]]:
    """A batch norm behind some convolutions, in place of them for all that reads them; the batch norms' results."""
    made = []
    for i in range(12):
        start = text.find(f"[conv{i}]")
        if start >= 0 and rng.integers(2):
            end = text.index(") ", start) + 2
            behind = text[end:].replace(f"(t{i},", f"(n{i},").replace(f"(t{i})", f"(n{i})")
            text = text[:end] + NORM.format(i=i) + behind
            made.append(f"n{i}")
    return text, made
