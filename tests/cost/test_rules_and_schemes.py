"""Rules, storages and schemes as data, and the planes that they refuse."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paconv.cost import SCHEMES, count, rule, storage, under_scheme
from paconv.errors import UsageError
from paconv.network.layers import CONV, Layer, Network
from paconv.nn.schemes import make_scheme
from paconv.studies.paper.resnet import resnet
from tests.effort import examples


def tiny(outputs: int = 5) -> Network:
    """A real first convolution, then one with 9 products a window on an input of 4 elements."""
    first = Layer("first", CONV, (1, 1, 1, 1), (1, 1, 2, 2), (1, 1, 2, 2), input_id="x")
    second = Layer("second", CONV, (outputs, 1, 3, 3), (1, 1, 2, 2), (1, outputs, 1, 1), input_id="y")
    return Network((first, second))


@pytest.mark.parametrize("M", [0, 9, -2])
def test_planes_out_of_range_are_refused(M):
    with pytest.raises(UsageError, match=f"M: expected 1 to 8 planes; found M={M}"):
        under_scheme(resnet(18), "pa", M, 5)


def test_no_activation_planes_are_refused():
    with pytest.raises(UsageError, match="N: expected 1 to 8 planes; found N=0"):
        under_scheme(resnet(18), "pa", 4, 0)


@pytest.mark.parametrize("scheme", ["pa", "abc"])
def test_an_odd_number_of_planes_is_counted(scheme):
    """M = N = 3 is the paper's Figure 3: 9 parallel bitwise convolutions and 3 comparisons."""
    found = count(under_scheme(resnet(18), scheme, 3, 3)).totals
    assert found.binary_bits == 3 * 11_157_504
    assert (found.bit_operations, found.comparisons) == (9 * 1_695_547_392, 3 * 1_680_896)


def test_table7_is_refused_where_it_is_not_known():
    for scheme, M, N in (("pa", 8, 5), ("pa", 4, 7), ("abc", 4, 5), ("bireal", None, None), ("float", None, None)):
        with pytest.raises(UsageError, match="rule table7: it is known for PA with M=4, N=5 only"):
            count(under_scheme(resnet(18), scheme, M, N), rule("table7"))


def test_single_bit_schemes_refuse_other_planes():
    with pytest.raises(UsageError, match="scheme bireal has M=N=1; found M=4, N=None"):
        under_scheme(resnet(18), "bireal", 4)


def test_layer_wise_group_net_has_no_full_precision_activations():
    with pytest.raises(UsageError, match="scheme groupnet_layerwise binarizes activations; it has no N=full"):
        under_scheme(resnet(18), "groupnet_layerwise", 5, None, full_activations=True)


@pytest.mark.parametrize(("scheme", "M"), [("abc", 5), ("dorefa", 2), ("syq", 1), ("lqnet", 2)])
def test_the_schemes_that_convert_with_real_activations_are_counted_with_them(scheme, M):
    found = count(under_scheme(resnet(18), scheme, M, None, full_activations=True)).totals
    assert make_scheme(scheme, M, None).N is None
    assert found.bits == 32 * 532_008 + M * 11_157_504 and found.flops == found.float_flops


@pytest.mark.parametrize("name", ["scheme", "rule", "storage"])
def test_unknown_names_are_refused(name):
    with pytest.raises(UsageError, match=f"{name}: expected .*; found other"):
        {"scheme": lambda: under_scheme(tiny(), "other"), "rule": lambda: rule("other"),
         "storage": lambda: storage("other")}[name]()  # fmt: skip


def test_a_name_to_keep_real_has_to_fit_a_convolution():
    with pytest.raises(UsageError, match="found layer9"):
        under_scheme(resnet(18), "pa", keep_real=["layer9*"])


def test_wildcards_keep_several_layers_real():
    kept = under_scheme(resnet(18), "pa", keep_real=["layer1.*", "layer2.0.conv?"])
    real = {layer.name for layer in kept if layer.kind == CONV and layer.planes is None}
    group = {f"layer1.{block}.conv{conv}" for block in (0, 1) for conv in (1, 2)}
    assert real == {"conv1", "layer2.0.conv1", "layer2.0.conv2"} | group


def test_given_numbers_replace_the_rule_s_for_every_scheme():
    by = rule("text", Fraction(1, 2), 3)
    for scheme in ("pa", "abc", "bireal", "xnor"):
        found = count(under_scheme(tiny(), scheme), by).totals
        assert (found.multiplications, found.comparisons) == (Fraction(5, 2), 12)
    assert "given" in by.meaning and "given" in by.provenance


def test_a_negative_number_is_refused():
    with pytest.raises(UsageError, match="multiplications per output: expected a number of at least 0; found -1"):
        rule("text", -1)


def test_bit_operations_that_64_does_not_divide_stay_exact():
    found = count(under_scheme(tiny(), "pa", 2, 3)).totals
    assert found.bit_operations == 6 * 45
    assert found.bitwise_ops == Fraction(270, 64)
    assert found.flops == 4 + Fraction(270, 64) + 2 * 3 * 5 + 3 * 4


@pytest.mark.parametrize(("M", "bits"), [(1, 1), (2, 2), (3, 2), (4, 3), (6, 3), (7, 3), (8, 4)])
def test_a_level_index_takes_log2_of_the_levels(M, bits):
    planned = under_scheme(tiny(), "pa", M)
    assert count(planned, stored=storage("level-index")).totals.binary_bits == bits * 45


@pytest.mark.parametrize(("scheme", "bits"), [("abc", 3), ("groupnet_layerwise", 4), ("dorefa", 4), ("lqnet", 4)])
def test_level_indexes_save_where_planes_are_nested_but_not_where_they_are_independent(scheme, bits):
    planned = under_scheme(tiny(), scheme, 4, 1)
    assert count(planned).totals.binary_bits == 4 * 45
    assert count(planned, stored=storage("level-index")).totals.binary_bits == bits * 45


@pytest.mark.parametrize(
    ("scheme", "planes"), [("bwn", (1, None, 0, 2)), ("twn", (2, None, 0, 3)), ("ttq", (2, None, 0, 3)),
                           ("dorefa", (2, 2, 3, 4)), ("lqnet", (2, 2, 3, 4)), ("syq", (1, 8, 255, 2)),
                           ("groupnet", (1, 1, 1, 2)), ("groupnet_layerwise", (5, 1, 1, 32)), ("abc", (5, 5, 5, 6))]
)  # fmt: skip
def test_each_scheme_has_its_planes_endpoints_and_levels(scheme, planes):
    found = under_scheme(tiny(), scheme).layers[1].planes
    assert (found.M, found.N, found.endpoints, found.weight_levels) == planes


@pytest.mark.parametrize(("N", "endpoints"), [(7, 127), (None, 0)])
def test_planes_that_are_digits_have_more_levels_and_endpoints(N, endpoints):
    found = under_scheme(tiny(), "pa", 5, N, full_activations=N is None, digits=True).layers[1].planes
    assert (found.M, found.N, found.endpoints, found.weight_levels) == (5, N, endpoints, 32)


def test_weights_only_schemes_refuse_activation_planes():
    with pytest.raises(UsageError, match="scheme bwn has M=1 and full-precision activations; found M=1, N=1"):
        under_scheme(resnet(18), "bwn", 1, 1)


@settings(max_examples=examples(20), deadline=None)
@given(M=st.integers(1, 8), N=st.integers(1, 8))
def test_a_network_costs_what_its_layers_cost(M, N):
    counted = count(under_scheme(resnet(34), "pa", M, N))
    for name in ("bits", "float_bits", "macs", "bitwise_ops", "flops", "float_flops"):
        assert sum(getattr(item.cost, name) for item in counted.layers) == getattr(counted.totals, name)


def test_full_precision_is_no_faster_and_no_smaller_than_itself():
    found = count(under_scheme(resnet(18), "float")).totals
    assert found.memory_saving == found.speedup == 1


def test_every_scheme_has_a_description():
    assert all(scheme.name == name and scheme.meaning for name, scheme in SCHEMES.items())
