"""config.pbtxt, read back with Triton's published schema."""

import tempfile
from pathlib import Path

import onnx
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from paconv.deployment.signature import Signature, TensorSpec, read_signature
from paconv.deployment.triton_config import TritonOptions, config_text
from paconv.errors import ModelError, UsageError
from tests.deployment.triton_schema import parse_config, schema


def of_text(graph: str) -> Signature:
    """The signature of a model of `graph`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]>\n{graph}'), path)
        return read_signature(path)


def config_of(graph: str, **options):
    return parse_config(config_text("net", of_text(graph), TritonOptions(**options), None))


def dims(tensors) -> dict:
    return {tensor.name: list(tensor.dims) for tensor in tensors}


def test_a_free_first_dimension_is_the_batch_and_not_in_the_dims():
    config = config_of("g (float[b,3,224,224] x) => (float[b,3,224,224] y) { y = Relu(x) }")
    assert config.max_batch_size == 32
    assert dims(config.input) == {"x": [3, 224, 224]} and dims(config.output) == {"y": [3, 224, 224]}
    assert config.HasField("dynamic_batching")


def test_free_height_and_width_are_minus_one():
    config = config_of("g (float[b,3,h,w] x) => (float[b,3,h,w] y) { y = Relu(x) }")
    assert dims(config.input) == {"x": [3, -1, -1]}


def test_a_fixed_batch_is_part_of_the_dims_and_nothing_is_batched():
    config = config_of("g (float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu(x) }")
    assert config.max_batch_size == 0
    assert dims(config.input) == {"x": [1, 3, 8, 8]}
    assert not config.HasField("dynamic_batching")


def test_a_dimension_that_onnxruntime_finds_fixed_is_fixed_in_the_dims():
    """Triton's backend compares an output's dims with those of onnxruntime's session, exactly."""
    config = config_of("g (float[b,3,8,8] x) => (float[b,c] y) { f = Flatten(x) y = Relu(f) }")
    assert dims(config.output) == {"y": [192]}


def test_an_output_of_unknown_rank_is_refused():
    with pytest.raises(ModelError, match="shape"):
        config_of("g (float[b,3] x, int64[n] s) => (float[] y) { r = Reshape(x, s) y = Relu(r) }")


def test_several_inputs_batch_only_if_they_share_the_free_dimension():
    graph = "g (float[b,2] x, float[{},2] z) => (float[b,2] y, float[{},2] w) {{ y = Relu(x) w = Relu(z) }}"
    assert config_of(graph.format("b", "b")).max_batch_size == 32
    assert config_of(graph.format("n", "n")).max_batch_size == 0
    assert config_of(graph.format("1", "1")).max_batch_size == 0


def test_an_input_with_an_initializer_is_not_asked_of_the_client():
    config = config_of(
        "g (float[b,2] x, float[2] bias) => (float[b,2] y) <float[2] bias = {1, 2}> { y = Add(x, bias) }"
    )
    assert dims(config.input) == {"x": [2]}


def test_a_value_a_sample_is_reshaped_since_dims_must_not_be_empty():
    graph = "g (float[b,2] x) => (float[b] y) <int64[1] axes = {1}> { y = ReduceSum<keepdims = 0>(x, axes) }"
    (output,) = config_of(graph).output
    assert list(output.dims) == [1]
    assert output.HasField("reshape") and list(output.reshape.shape) == []


def test_a_scalar_without_a_batch_has_dims_of_one():
    config = config_of("g (float[3] x) => (float y) { y = ReduceSum<keepdims = 0>(x) }")
    (output,) = config.output
    assert list(output.dims) == [1] and not output.HasField("reshape")


@pytest.mark.parametrize(
    ("onnx_type", "triton_type"),
    [
        ("float", "TYPE_FP32"), ("float16", "TYPE_FP16"), ("double", "TYPE_FP64"), ("uint8", "TYPE_UINT8"),
        ("int64", "TYPE_INT64"), ("bool", "TYPE_BOOL"), ("string", "TYPE_STRING"),
    ],
)  # fmt: skip
def test_data_types_have_tritons_names(onnx_type, triton_type):
    config = config_of(f"g ({onnx_type}[b,2] x) => ({onnx_type}[b,2] y) {{ y = Identity(x) }}")
    assert {t.data_type for t in (*config.input, *config.output)} == {schema().DataType.Value(triton_type)}


def test_a_data_type_that_the_backend_lacks_is_refused():
    with pytest.raises(ModelError, match="input x: .* no type for bfloat16"):
        config_of("g (bfloat16[b,2] x) => (bfloat16[b,2] y) { y = Identity(x) }")


def test_a_sequence_is_refused():
    with pytest.raises(ModelError, match="output y: expected a tensor, found seq"):
        config_of("g (float[b,2] x) => (seq(float[b,2]) y) { y = SequenceConstruct(x) }")


def test_options_are_where_the_onnxruntime_backend_reads_them():
    model = of_text("g (float[b,2] x) => (float[b,2] y) { y = Relu(x) }")
    options = TritonOptions(
        max_batch_size=16, preferred_batch_sizes=(8, 4, 8), max_queue_delay=200, instances=3, threads=2
    )
    text = config_text("net", model, options, "/models/net/libpaconv.so")
    assert MessageToDict(parse_config(text), preserving_proto_field_name=True) == {
        "name": "net",
        "backend": "onnxruntime",
        "max_batch_size": 16,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["2"]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": ["2"]}],
        "dynamic_batching": {"preferred_batch_size": [4, 8], "max_queue_delay_microseconds": "200"},
        "instance_group": [{"count": 3, "kind": "KIND_CPU"}],
        "parameters": {"intra_op_thread_count": {"string_value": "2"}},
        "model_operations": {"op_library_filename": ["/models/net/libpaconv.so"]},
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch_size": -1}, "expected 0 .* found -1"),
        ({"max_batch_size": 4, "preferred_batch_sizes": (8,)}, "expected 1 to 4 .* found 8"),
        ({"max_batch_size": 0, "preferred_batch_sizes": (8,)}, "belong to batches"),
        ({"max_batch_size": 1, "max_queue_delay": 5}, "belong to batches"),
        ({"max_queue_delay": -5}, "expected 0 microseconds"),
        ({"instances": 0}, "at least 1 instance"),
        ({"threads": 0}, "1 thread"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        config_of("g (float[b,2] x) => (float[b,2] y) { y = Relu(x) }", **options)


def test_batching_a_model_of_fixed_batch_is_refused_with_its_shapes():
    with pytest.raises(UsageError, match=r"free .* found x \(1, 2\), y \(1, 2\)"):
        config_of("g (float[1,2] x) => (float[1,2] y) { y = Relu(x) }", max_batch_size=4)


names = st.text(min_size=1, max_size=12)
sizes = st.one_of(st.integers(1, 1000), st.just("h"), st.none())


@given(name=names, shape=st.lists(sizes, max_size=4), batched=st.booleans(), library=st.none() | names)
def test_any_name_and_shape_comes_back_as_it_was(name, shape, batched, library):
    tensor = TensorSpec(name, "float", ("b", *shape) if batched else (1, *shape))
    model = Signature((tensor,), (tensor,), True)
    config = parse_config(config_text("net", model, TritonOptions(), library))
    want = [size if isinstance(size, int) else -1 for size in shape]
    for found in (*config.input, *config.output):
        assert found.name == name
        assert list(found.dims) == ((want or [1]) if batched else [1, *want])
    assert list(config.model_operations.op_library_filename) == ([] if library is None else [library])
