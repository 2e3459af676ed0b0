"""Tests that compare decisions behind a stock batch norm with ==, at inputs on an endpoint, need one that is exact.

onnxruntime 1.17 rounds some of these to the other side on some CPUs (seen on one with AVX-512 and AMX); 1.32 doesn't.
"""

import onnxruntime as ort
import pytest

from tests.passes.promises import promises_kept  # noqa: F401 - for all tests of this folder

EXACT_BATCH_NORM = {
    "test_batch_norm_before_an_activation_folds_into_endpoints_of_each_channel",
    "test_batch_norm_then_relu_folds_as_one_chain",
    "test_several_activations_with_endpoints_of_their_own_read_one_batch_norm",
    "test_batch_norm_of_a_concatenation_folds_whatever_else_reads_the_concatenation",
    "test_a_relu_before_endpoints_that_compare_downwards_stays",
    "test_a_convolution_s_own_output_may_be_a_graph_output",
    "test_two_convolutions_in_any_surroundings_give_equal_results",
    "test_any_network_of_convolutions_and_elementwise_nodes_gives_equal_results",
}


def pytest_collection_modifyitems(items):
    if tuple(map(int, ort.__version__.split(".")[:2])) > (1, 17):
        return
    for item in items:
        if getattr(item, "originalname", item.name) in EXACT_BATCH_NORM:
            item.add_marker(pytest.mark.skip(reason="onnxruntime 1.17's batch norm isn't exact on every CPU"))
