"""Networks quantized from samples, and what is said of it."""

import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

import paconv
from paconv.errors import DataError, ModelError, UsageError
from paconv.grid import integers_of
from paconv.onnx_file.metadata import note, provenance
from tests.quantization.networks import images, residual_network

PA = ("one", "two", "down", "cut", "group")


def outputs(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return ort.InferenceSession(model.SerializeToString()).run(None, {"image": x})[0]


def test_layers_are_quantized_or_stay_real_for_a_reason():
    found = paconv.quantize(residual_network(), images(64))
    assert [layer.name for layer in found.pa] == list(PA)
    assert {layer.name: layer.code for layer in found.layers if layer.code} == {
        "stem": "first-layer",
        "depth": "depthwise",
        "head": "head",
    }
    assert all(layer.reason for layer in found.layers if layer.code)
    assert {(layer.M, layer.N, layer.reads) for layer in found.pa} == {(4, 5, "rectified")}
    assert 0 < found.macs_share < 1 and 0 < found.parameters_share < 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fast": True},
        {"grid": None},
        {"M": 8, "N": 7},
        {"N": None},
        {"signed": True},
        {"M": 2, "N": 1, "digits": True},
        {"M": 4, "N": 4, "digits": True},
        {"M": 5, "N": 8, "digits": True, "fast": True},
        {"M": 3, "N": None, "digits": True},
    ],
)
@pytest.mark.parametrize("activation", ["Relu", "HardSwish"])
def test_the_file_says_what_the_quantized_network_said(options, activation, tmp_path):
    x = images(64)
    found = paconv.quantize(residual_network(activation=activation), x, **options, output=tmp_path / "model.onnx")
    wanted = outputs(residual_network(activation=activation), x)
    stock = outputs(onnx.load(tmp_path / "model.onnx"), x)
    error = ((stock - wanted) ** 2).sum() / ((wanted - wanted.mean()) ** 2).sum()
    # decisions at an endpoint may fall otherwise by a rounding, each a level of one activation among thousands
    assert error == pytest.approx(found.outputs[0].error, rel=0.05)
    paconv.optimize(tmp_path / "model.onnx", tmp_path / "pa.onnx")
    assert paconv.verify(tmp_path / "model.onnx", tmp_path / "pa.onnx").ok
    forms = [node.op_type for node in onnx.load(tmp_path / "pa.onnx").graph.node if node.domain == "paconv"]
    assert sum(op in ("PABitConv", "PALevelConv", "PAUnpackWeight") for op in forms) == len(PA)


def test_the_weights_of_the_file_decode_to_the_codes_that_were_chosen():
    found = paconv.quantize(residual_network(), images(64), grid=(7, 15))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in found.model.graph.initializer}
    for name in PA:
        call = next(n for n in found.model.graph.node if n.name == f"{name}.weight_quantizer")
        W, u, levels = (stored[i] for i in call.input[:3])
        piece = (W[..., None] > u).sum(-1)
        assert np.array_equal(
            np.take_along_axis(np.broadcast_to(levels, (*W.shape, 5)), piece[..., None], -1)[..., 0], W
        )
        table = levels.reshape(len(W), 5)
        assert all(integers_of(row, 7) is not None for row in table)


def test_more_levels_and_the_whole_recipe_bring_outputs_nearer():
    def error(**options):
        return np.mean(
            [paconv.quantize(residual_network(s), images(128, s), **options).outputs[0].error for s in range(2)]
        )

    whole, fast, fine = error(), error(fast=True), error(M=8, N=7)
    assert fine < whole < 0.9 * fast
    assert fine < 0.05


@pytest.mark.parametrize("activation", ["Relu", "HardSwish"])
def test_digits_lose_less_than_as_many_levels_of_a_plane_each(activation):
    model, x = residual_network(activation=activation), images(128)
    planes, digits = paconv.quantize(model, x, 4, 5), paconv.quantize(model, x, 4, 5, digits=True)
    assert digits.outputs[0].error < 0.25 * planes.outputs[0].error
    assert {layer.scheme for layer in digits.pa} == {"pa:4,5,digits"}
    said = provenance(digits.model)
    assert (said["planes"], said["grid"]) == ("digits", "8,31") and "planes" not in provenance(planes.model)
    assert {layer.scheme for layer in planes.pa} == {"pa:4,5"}


def test_digits_of_weights_and_activations_are_the_planes_of_the_optimized_file(tmp_path):
    for activation in ("Relu", "HardSwish"):
        model = residual_network(activation=activation)
        paconv.quantize(model, images(64), 5, 7, digits=True, output=tmp_path / "model.onnx")
        paconv.optimize(tmp_path / "model.onnx", tmp_path / "pa.onnx")
        found = paconv.summary(tmp_path / "pa.onnx")
        layers = [layer for layer in found.layers if layer.scheme]
        assert {layer.scheme for layer in layers} == {"pa:5,7,digits"} and len(layers) == len(PA)
        assert {(layer.weight_bits, layer.activation_bits) for layer in layers} == {(5, 7)}


def test_a_channel_of_next_to_no_weights_keeps_its_layer_on_the_grid(tmp_path):
    model = residual_network()
    tensor = next(t for t in model.graph.initializer if t.name == "one_w")
    value = numpy_helper.to_array(tensor).copy()
    value[3] *= 1e-42
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    for digits in (False, True):
        paconv.quantize(model, images(32), digits=digits, fast=True, output=tmp_path / "model.onnx")
        paconv.optimize(tmp_path / "model.onnx", tmp_path / "pa.onnx")
        result = paconv.verify(tmp_path / "model.onnx", tmp_path / "pa.onnx")
        assert result.ok and all(layer.integers for layer in result.layers)


def test_the_size_that_is_said_has_the_endpoints_of_each_channel_in_it(tmp_path):
    for activation in ("Relu", "HardSwish"):
        sizes = []
        for N in (1, 8):
            found = paconv.quantize(
                residual_network(activation=activation), images(32), 4, N, digits=True, fast=True,
                output=tmp_path / "model.onnx",
            )  # fmt: skip
            paconv.optimize(tmp_path / "model.onnx", tmp_path / "pa.onnx")
            sizes.append((found.packed_bytes, (tmp_path / "pa.onnx").stat().st_size))
        said, real = np.diff(sizes, axis=0)[0]
        assert 0.6 * real < said < 1.4 * real


def test_activations_of_both_signs_keep_their_negative_half():
    model, x = residual_network(activation="HardSwish"), images(256) - 0.5
    errors: dict[str | bool, float] = {"auto": 0.0, False: 0.0}
    for signed in errors:
        for seed in range(2):
            found = paconv.quantize(model, x, signed=signed, N=7, M=8, by_channel=False, seed=seed)
            errors[signed] += found.outputs[0].error
            if signed == "auto":
                reads = {layer.name: layer.reads for layer in found.pa}
                assert reads["down"] == reads["cut"] == "signed" and reads["one"] == "rectified"
    assert errors["auto"] < errors[False]


def test_the_same_samples_give_the_same_file_and_are_left_as_they_were():
    model, x = residual_network(), images(48)
    before, copy = model.SerializeToString(), x.copy()
    first, second = (paconv.quantize(model, x).model.SerializeToString() for _ in range(2))
    assert first == second and model.SerializeToString() == before and np.array_equal(x, copy)


def test_the_worst_layers_stay_real_or_get_more_levels():
    model, x = residual_network(), images(64)
    plain = paconv.quantize(model, x)
    ranked = sorted(plain.pa, key=lambda layer: layer.added, reverse=True)
    real = paconv.quantize(model, x, worst=2)
    assert {layer.name for layer in real.layers if layer.code == "kept-by-name"} == {l.name for l in ranked[:2]}
    fine = paconv.quantize(model, x, worst=1, worst_levels=(8, 7))
    assert [(layer.M, layer.N) for layer in fine.pa if layer.name == ranked[0].name] == [(8, 7)]
    assert {(layer.M, layer.N) for layer in fine.pa if layer.name != ranked[0].name} == {(4, 5)}
    finest = paconv.quantize(model, x, worst=1, worst_levels=(5, 7, True))
    assert [layer.scheme for layer in finest.pa if layer.name == ranked[0].name] == ["pa:5,7,digits"]
    assert {layer.scheme for layer in finest.pa if layer.name != ranked[0].name} == {"pa:4,5"}


def test_a_layer_that_adds_too_much_error_stays_real():
    model, x = residual_network(), images(64)
    bound = sorted(layer.added for layer in paconv.quantize(model, x).pa)[-2]
    found = paconv.quantize(model, x, most_error=bound)
    left = [layer for layer in found.layers if layer.code == "too-far"]
    assert left and all(layer.added is not None for layer in left)
    with pytest.raises(UsageError, match="no layer adds as little as 0 to the error"):
        paconv.quantize(model, x, most_error=0.0)


def test_all_of_it_is_plain_data():
    found = paconv.quantize(residual_network(), images(32))
    data = json.loads(json.dumps(found.as_data()))
    assert len(data["layers"]) == len(found.layers) and 0 <= data["outputs"][0]["same_choice"] <= 1


def test_a_model_of_one_sample_at_a_time_is_quantized_from_many():
    model = residual_network()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    found = paconv.quantize(model, images(40))
    assert found.samples == 40 and found.outputs[0].error < 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"M": 3}, "M, the number of weight planes"),
        ({"N": 9}, "N, the number of activation planes"),
        ({"M": 8, "digits": True}, "must be 2 to 5 where they are digits; found 8"),
        ({"M": 4, "digits": True, "grid": None}, "digits say themselves how large integers are"),
        ({"M": 4, "digits": True, "checkpoint": "q.pt"}, "in a checkpoint each level has a plane of its own"),
        ({"grid": (0, 3)}, "grid"),
        ({"signed": "sometimes"}, "signed"),
        ({"keep": "nothing"}, "names no layer"),
        ({"keep": "*"}, "no convolution to quantize"),
        ({"worst": 5}, "worst"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"most_error": float("nan")}, "most_error"),
        ({"worst": 1, "worst_levels": (3, 7)}, "M, the number of weight planes"),
        ({"worst": 1, "worst_levels": (8, 7, True)}, "must be 2 to 5 where they are digits; found 8"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        paconv.quantize(residual_network(), images(8), **options)


def test_bad_samples_are_refused():
    bad = images(8)
    bad[3, 0, 0, 0] = np.nan
    for data in (bad, images(8)[:, :2], np.arange(8), images(8)[:0]):
        with pytest.raises(DataError):
            paconv.quantize(residual_network(), data)


def test_a_file_that_is_quantized_already_is_refused():
    found = paconv.quantize(residual_network(), images(8))
    with pytest.raises(ModelError):
        paconv.quantize(found.model, images(8))


def test_torch_modules_are_quantized_as_their_export_is(tmp_path):
    torch = pytest.importorskip("torch")
    from paconv.models import digits_resnet

    torch.manual_seed(0)
    net = digits_resnet().eval()
    x = np.random.default_rng(0).standard_normal((64, 1, 8, 8)).astype(np.float32)
    direct = paconv.quantize(net, x, input_shape=(1, 8, 8))
    paconv.export(net, tmp_path / "float.onnx", (1, 8, 8))
    foreign = paconv.quantize(tmp_path / "float.onnx", x)
    assert provenance(direct.model)["source"] == "module" and provenance(foreign.model)["source"] == "onnx"
    for found in (direct, foreign):
        note(found.model, {"paconv.source": None, "paconv.source_sha256": None})
    assert direct.model.SerializeToString() == foreign.model.SerializeToString()
    with pytest.raises(UsageError, match="input_shape"):
        paconv.quantize(net, x)
    with pytest.raises(UsageError, match="converted already"):
        paconv.quantize(paconv.convert(net), x, input_shape=(1, 8, 8))
