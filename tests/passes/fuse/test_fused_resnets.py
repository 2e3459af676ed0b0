"""ResNets are one chain between the stem and the head: structure, results, and the way back."""

import numpy as np
import onnxruntime as ort
import pytest

import paconv
from paconv.passes.fuse.unfuse import canonical
from tests.passes.fuse.test_unfuse import signature, wiring
from tests.passes.graphs import fused_names, ops
from tests.passes.resnets import BLOCKS, pa_resnet

SIZE = 32


@pytest.fixture(scope="module", params=[18, pytest.param(50, marks=pytest.mark.slow)])
def depth(request):
    return request.param


@pytest.fixture(scope="module")
def forms(depth):
    """(reference, canonical form, fused form)"""
    reference = pa_resnet(depth, 4, 5, size=SIZE)
    return reference, paconv.optimize(reference, fuse=False).model, paconv.optimize(reference).model


def outputs(model, x):
    """Node by node, as the graph says: with onnxruntime's own fusions, equal graphs needn't give equal bits."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"]).run(None, {"x": x})[0]


def test_between_stem_and_head_there_are_fused_convolutions_alone(depth, forms):
    _, plain, fused = forms
    quantized = ops(plain).count("PABitConv")
    assert ops(fused) == [
        "Conv", "BatchNormalization", "Relu", "MaxPool", "Transpose", "PALevels",
        *["PALevelConv"] * quantized,
        "Transpose", "GlobalAveragePool", "Flatten", "Gemm",
    ]  # fmt: skip
    assert quantized == {18: 19, 50: 52}[depth]


def test_inside_a_block_there_are_levels_alone_and_its_end_takes_the_shortcut_in(depth, forms):
    _, _, fused = forms
    convs = {n.name: n for n in fused.graph.node if n.op_type == "PALevelConv"}
    last = 3 if depth == 50 else 2
    for stage, count in enumerate(BLOCKS[depth], 1):
        for index in range(count):
            block = f"layer{stage}.{index}"
            for number in range(1, last):
                node = convs[f"{block}.conv{number}"]
                assert list(node.output) == ["", f"{node.name}.out.levels", ""]
            shortcut = f"{block}.downsample.0" in convs
            end = convs[f"{block}.downsample.0" if shortcut else f"{block}.conv{last}"]
            assert fused_names(fused, end.name)[1] == f"{block}.sum"
            taken = f"{block}.bn{last}.out" if shortcut else "maxpool" if (stage, index) == (1, 0) else None
            assert end.input[1] == f"{taken or f'layer{stage}.{index - 1}.out'}.channel_last"
            wanted = stage == 4 and index == count - 1  # by the head, which compares nothing
            assert bool(end.output[1]) is not wanted and end.output[2] == ""


def test_a_block_result_is_kept_as_floats_only_where_a_shortcut_or_the_head_reads_it(depth, forms):
    _, _, fused = forms
    read = {name for n in fused.graph.node for name in n.input}
    made = [n.output[0] for n in fused.graph.node if n.op_type == "PALevelConv" and n.output[0]]
    assert set(made) <= read and all(name.endswith(".channel_last") for name in made)


def test_fused_and_canonical_form_and_the_way_back_compute_the_same(forms):
    _, plain, fused = forms
    x = np.random.default_rng(0).standard_normal((2, 3, SIZE, SIZE)).astype(np.float32)
    expected = outputs(plain, x)
    assert np.array_equal(outputs(fused, x), expected)
    assert np.array_equal(outputs(canonical(fused), x), expected)


def test_the_way_back_has_the_same_names_and_constants(forms):
    _, plain, fused = forms
    assert signature(canonical(fused)) == signature(plain)
    assert wiring(canonical(fused)) == wiring(plain)


def test_fusing_twice_changes_nothing(forms):
    _, _plain, fused = forms
    assert not paconv.optimize(fused).report.changed
    assert paconv.optimize(canonical(fused)).model.graph.node == fused.graph.node


def test_the_report_counts_what_was_taken_in(depth, forms):
    reference, _, _ = forms
    report = paconv.optimize(reference).report
    blocks = sum(BLOCKS[depth])
    assert report.totals["linked"] == report.totals["bit_convs"]
    assert (report.passes["channel-last"], report.passes["fuse-residual"]) == (report.totals["linked"], blocks)
    assert sum("residual" in line.folded for line in report.convs) == blocks


def test_with_a_free_image_size_additions_stay_nodes_and_everything_else_is_fused(depth):
    fused = paconv.optimize(pa_resnet(depth, 4, 5)).model
    assert ops(fused).count("Add") == sum(BLOCKS[depth]) and ops(fused).count("Transpose") == 2
    assert "PABitConv" not in ops(fused)
