"""The paper's accounting, integer by integer, on the networks it is about and in each form that a model has."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paconv.cost import NetworkCost, count, network, rule, storage, under_scheme
from paconv.network.layers import BATCH_NORM
from paconv.studies.paper.resnet import resnet
from tests.effort import examples
from tests.network.resnet_graphs import FORMS, resnet_graph

DEPTHS = (18, 34, 50)


def totals(depth: int, scheme: str, M: int | None = None, N: int | None = None, **options):
    return count(under_scheme(resnet(depth), scheme, M, N, **options)).totals


def independent_count(depth: int, M: int, N: int) -> dict[str, int]:
    """Totals of a PA-ResNet from its shapes, in plain loops that share nothing with the package."""
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}[depth]
    binary = macs = outputs = inputs = 0
    norm_channels, channels, size = 64, 64, 56
    for group, number in enumerate(blocks):
        width = 64 * 2**group
        out = width * (4 if depth == 50 else 1)
        for block in range(number):
            after = size // 2 if group > 0 and block == 0 else size
            # (in, out, kernel, input size): the stride is on the first convolution
            convs = [(channels, width, 3, size), (width, width, 3, after)]
            if depth == 50:
                convs = [(channels, width, 1, size), (width, width, 3, after), (width, out, 1, after)]
            inputs += sum(c * s * s for c, _, _, s in convs)
            if channels != out or after != size:
                convs.append((channels, out, 1, size))
            for c, o, k, _ in convs:
                binary += c * o * k * k
                macs += c * o * k * k * after * after
                outputs += o * after * after
                norm_channels += o
            channels, size = out, after
    real_macs = 64 * 3 * 49 * 112 * 112 + 1000 * channels
    real = 64 * 3 * 49 + 1000 * channels + 1000 + 2 * norm_channels
    return {
        "binary_weights": binary,
        "real_parameters": real,
        "bits": 32 * real + M * binary,
        "float_bits": 32 * (real + binary),
        "macs": macs + real_macs,
        "bitwise_ops": M * N * macs / 64,
        "multiplications": M * N * outputs,
        "comparisons": N * inputs,
        "flops": real_macs + M * N * macs / 64 + M * N * outputs + N * inputs,
        "float_flops": macs + real_macs,
    }


@pytest.mark.parametrize("form", ("exported", "optimized"))
@settings(max_examples=examples(8), deadline=None)
@given(depth=st.sampled_from(DEPTHS), M=st.integers(1, 8), N=st.integers(1, 8))
def test_every_form_agrees_with_a_count_from_shapes_alone(form, depth, M, N):
    found = count(network(resnet_graph(depth, form, M, N))).totals
    assert {name: getattr(found, name) for name in independent_count(depth, M, N)} == independent_count(depth, M, N)


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_float_graph_counts_as_pa_exactly_what_the_pa_graphs_count(depth):
    as_pa = count(under_scheme(network(resnet_graph(depth, "float")), "pa", 4, 5)).totals
    assert as_pa == count(network(resnet_graph(depth, "exported", 4, 5))).totals
    assert as_pa == count(network(resnet_graph(depth, "optimized", 4, 5))).totals
    assert as_pa == totals(depth, "pa")


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scheme", ("pa", "bireal", "abc", "xnor", "float"))
def test_another_scheme_costs_the_same_whatever_form_it_is_counted_from(depth, form, scheme):
    assert count(under_scheme(network(resnet_graph(depth, form)), scheme)).totals == totals(depth, scheme)


@pytest.mark.parametrize("form", ("exported", "optimized"))
def test_weights_only_pa_stores_planes_and_computes_in_full_precision(form):
    found = count(network(resnet_graph(18, form, 8, None))).totals
    assert found.bits == 32 * 532_008 + 8 * 11_157_504 == 106_284_288
    assert found.flops == found.float_flops == 1_814_073_344
    assert found == totals(18, "pa", 8, None, full_activations=True)


@pytest.mark.parametrize(("depth", "bits"), [(18, 61_654_272), (34, 102_294_784), (50, 161_350_912)])
def test_memory_of_pa(depth, bits):
    assert totals(depth, "pa", 4, 5).bits == bits


@pytest.mark.parametrize(("depth", "bits"), [(18, 72_811_776), (34, 123_553_024), (50, 184_796_416)])
def test_memory_of_abc(depth, bits):
    assert totals(depth, "abc").bits == bits


@pytest.mark.parametrize(("depth", "bits"), [(18, 33_514_752), (34, 43_853_056), (50, 176_850_176)])
def test_memory_of_bireal(depth, bits):
    assert totals(depth, "bireal").bits == bits


@pytest.mark.parametrize(
    ("depth", "bits", "flops"),
    [(18, 374_064_384, 1_814_073_344), (34, 697_525_504, 3_663_761_408), (50, 817_825_024, 3_857_973_248)],
)
def test_full_precision(depth, bits, flops):
    found = totals(depth, "float")
    assert (found.bits, found.float_bits, found.flops, found.float_flops) == (bits, bits, flops, flops)


@pytest.mark.parametrize(
    ("depth", "real", "binary"), [(18, 532_008, 11_157_504), (34, 539_432, 21_258_240), (50, 2_111_528, 23_445_504)]
)
def test_real_and_binary_parameters_of_pa(depth, real, binary):
    found = totals(depth, "pa")
    assert (found.real_parameters, found.binary_weights) == (real, binary)


@pytest.mark.parametrize(("depth", "flops"), [(18, 690_406_912), (34, 1_299_794_432), (50, 1_525_742_592)])
def test_flops_of_pa_by_the_rule_of_the_text(depth, flops):
    assert totals(depth, "pa", 4, 5).flops == flops


@pytest.mark.parametrize(("depth", "flops"), [(18, 674_400_768), (34, 1_271_244_288), (50, 1_435_726_848)])
def test_flops_of_pa_by_the_rule_fitted_to_table_7(depth, flops):
    assert count(under_scheme(resnet(depth), "pa", 4, 5), rule("table7")).totals.flops == flops


@pytest.mark.parametrize(("depth", "flops"), [(18, 831_276_032), (34, 1_591_442_432), (50, 1_866_688_512)])
def test_flops_of_abc(depth, flops):
    assert totals(depth, "abc").flops == flops


@pytest.mark.parametrize(("depth", "flops"), [(18, 163_985_408), (34, 192_886_784), (50, 532_508_672)])
def test_flops_of_bireal(depth, flops):
    assert totals(depth, "bireal").flops == flops


def test_flops_of_bireal50_with_its_first_binary_convolution_real():
    assert totals(50, "bireal", keep_real=["layer1.0.conv1"]).flops == 545_153_024
    assert next(layer for layer in resnet(50) if layer.name == "layer1.0.conv1").macs == 12_845_056


def test_two_multiplications_per_output_make_bireal18_the_paper_s_printed_row():
    found = totals(18, "xnor")
    assert found.flops == 163_985_408 + 2 * 1_505_280
    assert round(float(found.flops) / 1e8, 2) == 1.67
    assert round(float(found.speedup), 2) == 10.86


def test_the_parts_of_pa_resnet18_by_the_rule_of_the_text():
    found = totals(18, "pa")
    assert (found.real_macs, found.bitwise_ops) == (118_525_952, 529_858_560)
    assert (found.multiplications, found.comparisons) == (33_617_920, 8_404_480)
    assert found.macs - found.real_macs == 1_695_547_392
    assert found.bit_operations == 64 * found.bitwise_ops == 20 * 1_695_547_392


def group(counted: NetworkCost, prefix: str) -> tuple[int, ...]:
    items = [item for item in counted.layers if item.layer.name.startswith(prefix)]
    return (
        sum(item.cost.binary_weights for item in items),
        sum(item.cost.macs for item in items),
        sum(item.cost.bitwise_ops for item in items),
        sum(item.layer.outputs for item in items if item.layer.kind != BATCH_NORM),
        sum(item.cost.comparisons for item in items) / 5,
        sum(item.layer.weight_shape[0] for item in items if item.layer.kind == BATCH_NORM),
    )


def test_pa_resnet18_group_by_group():
    counted = count(under_scheme(resnet(18), "pa", 4, 5))
    assert group(counted, "layer1") == (147_456, 462_422_016, 144_506_880, 802_816, 802_816, 256)
    assert group(counted, "layer2") == (524_288, 411_041_792, 128_450_560, 501_760, 501_760, 640)
    assert group(counted, "layer3") == (2_097_152, 411_041_792, 128_450_560, 250_880, 250_880, 1_280)
    assert group(counted, "layer4") == (8_388_608, 411_041_792, 128_450_560, 125_440, 125_440, 2_560)
    assert group(counted, "layer") == (11_157_504, 1_695_547_392, 529_858_560, 1_680_896, 1_680_896, 4_736)
    assert group(counted, "conv1.bn")[-1] == 64


def test_macs_of_single_convolutions_of_resnet18():
    macs = {layer.name: layer.macs for layer in resnet(18)}
    assert macs["conv1"] == 118_013_952
    assert next(iter(resnet(18))).weights == 9_408
    assert macs["fc"] == 512_000
    assert macs["layer1.0.conv1"] == macs["layer3.1.conv2"] == 115_605_504
    assert macs["layer2.0.conv1"] == macs["layer4.0.conv1"] == 57_802_752
    assert {macs[f"layer{g}.0.downsample.0"] for g in (2, 3, 4)} == {6_422_528}


def test_memory_with_level_indexes():
    def bits(M: int) -> int:
        return count(under_scheme(resnet(18), "pa", M, 7), stored=storage("level-index")).totals.bits

    assert bits(4) == 32 * 532_008 + 3 * 11_157_504 == 50_496_768
    assert bits(8) == 61_654_272
    assert totals(18, "pa", 8, 7).bits == 106_284_288
    assert round(374_064_384 / bits(4), 2) == 7.41


def test_binary_parts_alone_are_what_the_paper_prints_for_resnet34():
    assert round(4 * 21_258_240 / 1e6, 1) == 85.0
    assert round(5 * 21_258_240 / 1e6, 1) == 106.3
    assert round(totals(34, "pa").bits / 1e6, 2) == 102.29
    assert round(float(totals(34, "pa").memory_saving), 2) == 6.82
