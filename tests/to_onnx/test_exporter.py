from __future__ import annotations

import copy

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnxruntime as ort
import pytest
import torch
from torch import nn

import paconv
import paconv.models
from paconv.errors import CheckpointError, ExportError, PaconvError, UsageError
from paconv.grid import integers_of
from paconv.nn import PAActivation, PAConv2d, freeze_, level_report, snap_
from paconv.onnx_file.metadata import note
from paconv.to_onnx import exporter, frozen_copy
from tests.to_onnx.nets import Residual, make_residual

SHAPE = (3, 16, 16)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    model = make_residual()
    snap_(model)
    return model


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    paconv.export(model, path, SHAPE)
    return path


@pytest.fixture(scope="module")
def graph(path) -> onnx.GraphProto:
    return onnx.load(path).graph


def run(path, *inputs: torch.Tensor) -> list[np.ndarray]:
    data = path if isinstance(path, bytes) else str(path)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: x.numpy() for i, x in zip(session.get_inputs(), inputs, strict=True)})


def nodes(graph: onnx.GraphProto, op: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if node.op_type == op]


def clearance(model: nn.Module, x: torch.Tensor) -> float:
    """Distance of the activation that is nearest to an endpoint, when `model` runs on x."""
    nearest = []
    hooks = [
        module.register_forward_pre_hook(
            lambda m, args: nearest.append(float((args[0][..., None] - m.v).abs().min())),
        )
        for module in model.modules()
        if isinstance(module, PAActivation)
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return min(nearest)


def test_the_exported_net_gives_the_logits_of_the_torch_net(model, path):
    torch.manual_seed(10)
    x = torch.randn(3, *SHAPE)
    # Activations of batch norm are below 8 here, so a few roundings move them by less than 8 * 2^-24 * 8 = 4e-6.
    assert clearance(model, x) > 4e-6, "an activation lies on an endpoint: choose another seed"
    with torch.no_grad():
        want = model(x).numpy()
    (logits,) = run(path, x)
    # No decision can differ, what remains is the rounding of sums of at most 16 * 9 terms, in three layers.
    np.testing.assert_allclose(logits, want, rtol=0, atol=3 * 16 * 9 * 2**-24 * np.abs(want).max())
    assert (logits.argmax(1) == want.argmax(1)).all()


def test_an_activation_on_its_endpoint_gets_the_level_above_in_onnx_as_in_torch(tmp_path):
    quantizer = PAActivation(5).eval()
    snap_(quantizer)
    v = quantizer.v.detach().numpy()
    beside = [np.nextafter(v, np.float32(-np.inf)), v, np.nextafter(v, np.float32(np.inf))]
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45], np.float32)
    x = torch.from_numpy(np.concatenate([*beside, special])[None])
    paconv.export(quantizer, tmp_path / "a.onnx", (x.shape[1],))
    (levels,) = run(tmp_path / "a.onnx", x)
    assert (levels == quantizer(x).detach().numpy()).all()
    assert levels[0, 5] == quantizer.levels()[1].item() and levels[0, 0] == 0.0


def test_endpoints_out_of_order_are_exported_ascending_with_the_same_function(tmp_path):
    quantizer = PAActivation(3).eval()
    quantizer.v.data = torch.tensor([1.0, 0.25, 0.5])
    snap_(quantizer)
    x = torch.linspace(-1, 2, 61)[None]
    paconv.export(quantizer, tmp_path / "a.onnx", (61,))
    assert (run(tmp_path / "a.onnx", x)[0] == quantizer(x).detach().numpy()).all()
    assert quantizer.v.tolist() == [1.0, 0.25, 0.5]
    (v,) = [t for t in onnx.load(tmp_path / "a.onnx").graph.initializer if t.name == "v"]
    assert onnx.numpy_helper.to_array(v).tolist() == [0.25, 0.5, 1.0]


def test_approximated_weights_are_those_of_torch_bit_for_bit(model, path):
    proto = onnx.load(path)
    weights = [node.output[0] for node in nodes(proto.graph, "PAWeight")]
    proto.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in weights)
    found = run(proto.SerializeToString(), torch.zeros(1, *SHAPE))[1:]
    convs = {name: m for name, m in model.named_modules() if isinstance(m, PAConv2d)}
    assert len(found) == len(convs) == 3
    for name, value in zip(weights, found, strict=True):
        conv = convs[name.removesuffix(".weight_quantizer:0")]
        assert (value == conv.weight_quantizer(conv.weight).detach().numpy()).all()


def test_layers_have_the_names_of_their_modules_and_tensors_those_of_the_state_dict(model, graph):
    assert {n.name for n in nodes(graph, "Conv")} == {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    assert {n.name for n in nodes(graph, "BatchNormalization")} == {"bn", "bn1", "bn2", "shortcut.1"}
    assert [n.name for n in nodes(graph, "PAActivation")] == ["conv1.activation", "conv2.activation"]
    assert [n.name for n in nodes(graph, "Gemm")] == ["fc"]
    assert [n.name for n in nodes(graph, "MaxPool")] == ["pool"]
    assert [n.name for n in nodes(graph, "Add")] == ["Add"]
    state = model.state_dict()
    initializers = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    for name in initializers.keys() & state.keys():
        assert (initializers[name] == state[name].numpy()).all()
    trained = {n for n, _ in model.named_parameters() if not n.endswith(".beta")}
    assert trained <= initializers.keys()
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)


def test_each_quantizer_is_one_call_with_constant_endpoints_and_levels(graph):
    constants = {t.name: tuple(t.dims) for t in graph.initializer}
    assert len(nodes(graph, "PAWeight")) == 3
    for node in nodes(graph, "PAWeight"):
        assert node.domain == "paconv" and [constants[i] for i in node.input[1:]] == [(4,), (5,)]
    for node in nodes(graph, "PAActivation"):
        assert node.domain == "paconv" and [constants[i] for i in node.input[1:]] == [(5,), (6,)]


def test_convolutions_that_read_the_same_tensor_share_one_activation_node(graph):
    convs = {n.name: n for n in nodes(graph, "Conv")}
    assert convs["conv1"].input[0] == convs["shortcut.0"].input[0]
    assert len(nodes(graph, "PAActivation")) == 2


def test_batch_norms_keep_their_own_four_parameters_even_if_all_are_alike(tmp_path):
    fresh = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    paconv.export(fresh, tmp_path / "m.onnx", SHAPE)
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert [n.op_type for n in graph.node] == ["Conv", "BatchNormalization"] * 2
    kinds = ("weight", "bias", "running_mean", "running_var")
    assert [list(n.input[1:]) for n in nodes(graph, "BatchNormalization")] == [
        [f"{layer}.{kind}" for kind in kinds] for layer in (1, 3)
    ]


def test_a_bias_of_zeros_stays_and_a_convolution_without_bias_gets_none(tmp_path):
    pair = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, bias=False))
    nn.init.zeros_(pair[0].bias)
    paconv.export(pair, tmp_path / "m.onnx", SHAPE)
    convs = nodes(onnx.load(tmp_path / "m.onnx").graph, "Conv")
    assert [list(n.input[1:]) for n in convs] == [["0.weight", "0.bias"], ["1.weight"]]


def test_the_file_tells_nothing_about_the_machine_that_wrote_it(path):
    data = path.read_bytes()
    assert not [
        word for word in (b"torch.nn", b"torch/", b".py", b"site-packages", b"/tests/", b"forward") if word in data
    ]


def test_the_file_passes_the_full_check_and_a_graphsurgeon_round_trip(path):
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert proto.ir_version == 8
    assert {o.domain: o.version for o in proto.opset_import} == {"": 18, "paconv": 1}
    assert {f.name for f in proto.functions} == {"PAWeight", "PAActivation"}
    again = gs.export_onnx(gs.import_onnx(proto), ir_version=proto.ir_version)
    onnx.checker.check_model(again, full_check=True)
    torch.manual_seed(1)
    x = torch.randn(2, *SHAPE)
    assert (run(again.SerializeToString(), x)[0] == run(path, x)[0]).all()


def test_shape_inference_goes_through_the_functions_and_keeps_the_batch_free(path):
    inferred = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True).graph
    shapes = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    assert shapes["input"] == ["batch", 3, 16, 16] and shapes["output"] == ["batch", 5]
    assert shapes["conv1.weight_quantizer:0"] == [16, 8, 3, 3]
    for node in inferred.node:
        if node.op_type in ("Conv", "PAActivation", "BatchNormalization"):
            assert shapes[node.output[0]][0] == "batch" and len(shapes[node.output[0]]) == 4


@pytest.mark.parametrize("opset, ir_version", exporter.IR_VERSIONS.items())
def test_every_opset_offered_runs(tmp_path, model, opset, ir_version):
    paconv.export(model, tmp_path / "m.onnx", SHAPE, opset=opset)
    proto = onnx.load(tmp_path / "m.onnx")
    assert proto.ir_version == ir_version and {o.domain: o.version for o in proto.opset_import}[""] == opset
    assert run(tmp_path / "m.onnx", torch.zeros(2, *SHAPE))[0].shape == (2, 5)


def test_with_dynamic_size_another_image_size_gives_the_logits_of_torch(tmp_path, model):
    paconv.export(model, tmp_path / "m.onnx", SHAPE, dynamic_size=True)
    dims = onnx.load(tmp_path / "m.onnx").graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["batch", 3, "height", "width"]
    torch.manual_seed(4)
    x = torch.randn(1, 3, 22, 30)
    assert clearance(model, x) > 4e-6, "an activation lies on an endpoint: choose another seed"
    want = model(x).detach().numpy()
    np.testing.assert_allclose(
        run(tmp_path / "m.onnx", x)[0], want, rtol=0, atol=3 * 16 * 9 * 2**-24 * np.abs(want).max()
    )


def test_full_precision_activations_leave_no_activation_node(tmp_path):
    done = paconv.export(make_residual(N=None), tmp_path / "m.onnx", SHAPE)
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert len(nodes(graph, "PAWeight")) == 3 and not nodes(graph, "PAActivation")
    assert (done.quantized, done.real, done.size) == (3, 1, (tmp_path / "m.onnx").stat().st_size)


def test_a_model_in_training_mode_is_exported_as_in_eval_mode_and_stays_as_it_was(tmp_path, model, path):
    training = copy.deepcopy(model).train()
    training.bn.eval()
    before = {name: tensor.clone() for name, tensor in training.state_dict().items()}
    paconv.export(training, tmp_path / "m.onnx", SHAPE)
    assert (tmp_path / "m.onnx").read_bytes() == path.read_bytes()
    assert training.training and training.bn1.training and not training.bn.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in training.state_dict().items())
    assert training.conv1.weight_quantizer.u is None and all(p.requires_grad for p in training.parameters())


def test_a_frozen_model_exports_to_the_same_file(tmp_path, model, path):
    paconv.export(freeze_(copy.deepcopy(model)), tmp_path / "m.onnx", SHAPE)
    assert (tmp_path / "m.onnx").read_bytes() == path.read_bytes()


def levels_in(path) -> list[tuple[str, np.ndarray]]:
    """(op, levels) of each quantizer in the file, in order."""
    graph = onnx.load(path).graph
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    return [(node.op_type, constants[node.input[2]]) for node in graph.node if node.domain == "paconv"]


def has_levels_of(path, quantizer: PAActivation) -> bool:
    return any(np.array_equal(levels, quantizer.levels().detach().numpy()) for _, levels in levels_in(path))


def test_levels_are_snapped_where_that_was_not_done_and_otherwise_stay_as_torch_has_them(tmp_path):
    raw, snapped, counted = (make_residual() for _ in range(3))
    snap_(snapped)
    snap_(counted, (7, 15), [torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(1))])
    done = [paconv.export(each, tmp_path / f"{n}.onnx", SHAPE).levels for n, each in enumerate((raw, snapped, counted))]
    assert (tmp_path / "0.onnx").read_bytes() == (tmp_path / "1.onnx").read_bytes()
    assert done == [level_report(each) for each in (snapped, snapped, counted)]
    assert not level_report(raw).snapped, "the model that was exported stays as it is"
    for n, (A, B) in enumerate(((15, 31), (15, 31), (7, 15))):
        for op, levels in levels_in(tmp_path / f"{n}.onnx"):
            assert integers_of(levels, A if op == "PAWeight" else B) is not None
    assert has_levels_of(tmp_path / "2.onnx", counted.conv1.activation)
    assert has_levels_of(tmp_path / "2.onnx", counted.conv2.activation)


def test_a_grid_that_is_asked_for_is_what_there_is_and_none_is_the_real_levels(tmp_path, model):
    real = paconv.export(model, tmp_path / "real.onnx", SHAPE, grid=None)
    assert not real.levels.snapped and level_report(model).snapped
    assert has_levels_of(tmp_path / "real.onnx", make_residual().conv1.activation)
    coarse = paconv.export(model, tmp_path / "coarse.onnx", SHAPE, grid=(3, 7))
    assert {layer.most for layer in coarse.levels.layers} == {3, 7}
    assert paconv.export(nn.Conv2d(3, 4, 3), tmp_path / "float.onnx", SHAPE).levels is None


class TwoInTwoOut(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)
        self.fc = nn.Linear(4, 2)

    def forward(self, image, extra):
        return self.conv(image), {"sum": self.fc(extra), "same": extra}


def test_several_inputs_and_outputs_have_names_and_one_batch(tmp_path):
    model = TwoInTwoOut()
    paconv.export(model, tmp_path / "m.onnx", ((3, 8, 8), (4,)), dynamic_size=True)
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert [i.name for i in graph.input] == ["image", "extra"]
    assert [o.name for o in graph.output] == ["output_0", "output_1", "output_2"]
    assert [i.type.tensor_type.shape.dim[0].dim_param for i in graph.input] == ["batch", "batch"]
    torch.manual_seed(0)
    image, extra = torch.randn(3, 3, 9, 8), torch.randn(3, 4)
    first, second, third = run(tmp_path / "m.onnx", image, extra)
    assert first.shape == (3, 2, 7, 6) and second.shape == (3, 2) and (third == extra.numpy()).all()


def test_a_tensor_called_output_does_not_collide_with_the_output(tmp_path):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.output = nn.Parameter(torch.full((2,), 3.0))

        def forward(self, x):
            return x * self.output

    paconv.export(Scaled(), tmp_path / "m.onnx", (2,))
    assert run(tmp_path / "m.onnx", torch.ones(2, 2))[0].tolist() == [[3.0, 3.0]] * 2


class Branching(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else -super().forward(x)


class BatchBranching(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) * (2 if x.shape[0] > 4 else 1)


class HeightBranching(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) * (2 if x.shape[2] > 20 else 1)


class Failing(nn.Conv2d):
    def forward(self, x):
        raise ValueError("\n  five dimensions wanted\nand more words")


@pytest.mark.parametrize(
    "net, shape, options, message",
    [
        (
            Branching,
            SHAPE,
            {},
            "inputs of shape 3x16x16: GuardOnDataDependentSymNode: Could not guard on data-dependent",
        ),
        (Failing, SHAPE, {}, "ValueError: five dimensions wanted"),
        (
            nn.Conv2d,
            (5, 16, 16),
            {},
            "inputs of shape 5x16x16: RuntimeError: .* 3 channels, but got 5 channels",
        ),
        (
            nn.Conv2d,
            (SHAPE, SHAPE),
            {},
            "forward takes 1 inputs, found shapes of 2",
        ),
        (BatchBranching, SHAPE, {}, "decides by the batch of its input.* only for batch 0 to 4"),
        (
            HeightBranching,
            SHAPE,
            {"dynamic_size": True},
            "decides by the height of its input.* without dynamic sizes",
        ),
    ],
)
def test_a_model_that_cannot_be_traced_is_one_clear_line_and_no_file(tmp_path, capfd, net, shape, options, message):
    (tmp_path / "m.onnx").write_bytes(b"earlier")
    with pytest.raises(ExportError, match=message) as caught:
        paconv.export(net(3, 4, 3), tmp_path / "m.onnx", shape, **options)
    assert "\n" not in str(caught.value)
    assert [f.name for f in tmp_path.iterdir()] == ["m.onnx"] and (tmp_path / "m.onnx").read_bytes() == b"earlier"
    assert capfd.readouterr() == ("", "")


def test_the_exporter_says_nothing_when_all_is_well(tmp_path, capfd, model):
    paconv.export(model, tmp_path / "m.onnx", SHAPE)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "tensor, value", [("conv2.weight", np.nan), ("bn1.running_var", np.inf), ("conv2.activation.v", -np.inf)]
)
def test_a_tensor_that_is_not_finite_is_named(tmp_path, model, tensor, value):
    broken = copy.deepcopy(model)
    broken.state_dict()[tensor].view(-1)[0] = value
    with pytest.raises(ExportError, match=rf"^{tensor} holds NaN or inf \(1 of \d+ values\)"):
        paconv.export(broken, tmp_path / "m.onnx", SHAPE)
    assert not list(tmp_path.iterdir())


def test_an_infinite_buffer_that_is_no_statistic_is_exported(tmp_path):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

        def forward(self, x):
            return x + self.mask

    paconv.export(Masked(), tmp_path / "m.onnx", (2,))
    assert run(tmp_path / "m.onnx", torch.ones(1, 2))[0].tolist() == [[1.0, -np.inf]]


def test_half_precision_and_meta_tensors_are_refused_by_name(tmp_path, model):
    with pytest.raises(ExportError, match="conv.weight: expected float32, found torch.float16; call model.float"):
        paconv.export(copy.deepcopy(model).half(), tmp_path / "m.onnx", SHAPE)
    with pytest.raises(ExportError, match="conv.weight is on the meta device"):
        paconv.export(copy.deepcopy(model).to("meta"), tmp_path / "m.onnx", SHAPE)


def test_a_model_above_two_gigabytes_is_refused_before_it_is_traced(tmp_path):
    with torch.device("meta"):
        giant = nn.Linear(1 << 15, 1 << 14)
    with pytest.raises(ExportError, match="2.00 GiB of parameters, an ONNX file holds less than 2 GiB"):
        paconv.export(giant, tmp_path / "m.onnx", (1 << 15,))
    assert frozen_copy.MAX_BYTES < 1 << 31


@pytest.mark.parametrize(
    "options, message",
    [
        ({"opset": 17}, "opset must be 18, 19 or 20; found 17"),
        ({"input_shape": None}, "does not carry its input shape; give input_shape"),
        (
            {"input_shape": (3, 0, 8)},
            r"expected positive integers such as \(3, 224, 224\), found \(3, 0, 8\)",
        ),
        ({"input_shape": (3, 10**9, 10**9)}, "expected at most 268435456 values"),
        ({"input_shape": "3x8x8"}, "expected positive integers"),
    ],
)
def test_bad_options_are_refused(tmp_path, model, options, message):
    with pytest.raises(UsageError, match=message):
        paconv.export(model, tmp_path / "m.onnx", **{"input_shape": SHAPE, **options})
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written_is_found_before_the_slow_part(tmp_path, model, monkeypatch):
    monkeypatch.setattr(exporter, "trace", lambda *_: pytest.fail("traced first"))
    with pytest.raises(PaconvError, match="the folder .* does not exist"):
        paconv.export(model, tmp_path / "missing" / "m.onnx", SHAPE)
    with pytest.raises(PaconvError, match="it is a directory"):
        paconv.export(model, tmp_path, SHAPE)


def test_the_shape_in_a_checkpoint_serves_for_the_export(tmp_path):
    torch.manual_seed(0)
    net = paconv.models.digits_resnet(M=2, N=1, width=4)
    paconv.save(net, tmp_path / "model.pt", (1, 8, 8))
    done = paconv.export(tmp_path / "model.pt", tmp_path / "model.onnx")
    assert (done.path, done.quantized, done.real) == (tmp_path / "model.onnx", 8, 1)
    assert run(done.path, torch.zeros(3, 1, 8, 8))[0].shape == (3, 10)


def test_a_checkpoint_is_read_with_the_code_of_its_model_or_with_trust(tmp_path, model, path):
    paconv.save(model, tmp_path / "model.pt", SHAPE)
    paconv.export(tmp_path / "model.pt", tmp_path / "model.onnx", model=Residual)
    assert without_source(tmp_path / "model.onnx") == without_source(path)
    torch.save(model, tmp_path / "pickled.pt")
    with pytest.raises(CheckpointError, match="trust_pickle=True"):
        paconv.export(tmp_path / "pickled.pt", tmp_path / "pickled.onnx", SHAPE)
    paconv.export(tmp_path / "pickled.pt", tmp_path / "pickled.onnx", SHAPE, trust_pickle=True)
    assert without_source(tmp_path / "pickled.onnx") == without_source(path)


def without_source(path) -> onnx.ModelProto:
    """The file but for what it says it was made from, which is no file where that was a module."""
    found = onnx.load(path)
    note(found, {"paconv.source": None, "paconv.source_sha256": None})
    return found


def test_what_is_exported_is_a_module_or_a_checkpoint_elsewhere(tmp_path, model):
    paconv.save(model, tmp_path / "model.pt", SHAPE)
    with pytest.raises(UsageError, match="would replace the checkpoint"):
        paconv.export(tmp_path / "model.pt", tmp_path / "model.pt", model=Residual)
    with pytest.raises(UsageError, match="expected a torch module or the path of a checkpoint; found int"):
        paconv.export(3, tmp_path / "m.onnx", SHAPE)
    for options in ({"model": Residual}, {"trust_pickle": True}):
        with pytest.raises(UsageError, match="tell how to read a checkpoint; found a torch module"):
            paconv.export(model, tmp_path / "m.onnx", SHAPE, **options)
    assert [f.name for f in tmp_path.iterdir()] == ["model.pt"]


class Several(nn.Module):
    """Arguments of every kind."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 3)

    def run(self, x):
        return self.c(torch.relu(self.b(torch.relu(self.a(x)))))


class Star(Several):
    def forward(self, *images):
        return sum(self.run(x) for x in images)


class KeywordOnly(Several):
    def forward(self, x, *more, scale):
        return self.run(x) * scale.mean() + sum(self.run(y) for y in more)


class Keywords(Several):
    def forward(self, x, flag=True, mask=None, **others):
        x = x if mask is None else x * mask
        return self.run(x) + sum(self.run(others[name]) for name in sorted(others))


@pytest.mark.parametrize(
    ("kind", "shapes", "names"),
    [
        (Star, [SHAPE], ["input"]),
        (Star, [SHAPE, SHAPE], ["images_0", "images_1"]),
        (KeywordOnly, [SHAPE, SHAPE, (4,)], ["x", "more_0", "scale"]),
        (Keywords, [SHAPE], ["input"]),
        (Keywords, {"mask": SHAPE, "x": SHAPE}, ["x", "mask"]),
        (Keywords, {"x": SHAPE, "other": SHAPE}, ["x", "other"]),
    ],
    ids=str,
)
def test_arguments_of_every_kind_are_inputs(tmp_path, kind, shapes, names):
    torch.manual_seed(0)
    model = paconv.convert(kind(), keep="b", last="pa", first="real")
    paconv.export(model, tmp_path / "model.onnx", shapes)
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [i.name for i in graph.input] == names
    assert all(i.type.tensor_type.shape.dim[0].dim_param == "batch" for i in graph.input)
    given = shapes if isinstance(shapes, list) else [SHAPE] * len(shapes)
    inputs = [torch.randn(3, *shape) for shape in given]
    (found,) = run(tmp_path / "model.onnx", *inputs)
    assert found.shape == (3, 2, 10, 10)


@pytest.mark.parametrize(
    ("kind", "shapes", "message"),
    [
        (Residual, [SHAPE, SHAPE], "forward takes 1 inputs, found shapes of 2"),
        (Residual, {"y": SHAPE}, "forward has no argument y; it has x"),
        (Keywords, [SHAPE] * 4, "forward takes 3 inputs, found shapes of 4; give inputs of .*kwargs by name"),
    ],
)
def test_inputs_that_forward_does_not_take_get_a_line(tmp_path, kind, shapes, message):
    with pytest.raises(ExportError, match=message):
        paconv.export(paconv.convert(kind()), tmp_path / "model.onnx", shapes)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_computed_weights_of_real_layers_are_constants_of_the_file(tmp_path):
    torch.manual_seed(0)
    net = Residual()
    nn.utils.weight_norm(net.conv)
    nn.utils.parametrizations.spectral_norm(net.fc)
    x = torch.randn(2, *SHAPE)
    net(x)  # weight_norm leaves a tensor that can't be copied
    paconv.export(paconv.convert(net), tmp_path / "model.onnx", SHAPE)
    graph = onnx.load(tmp_path / "model.onnx").graph
    stored = {tensor.name for tensor in graph.initializer}
    weights = [node.input[1] for node in graph.node if node.op_type == "Gemm" or node.name == "conv"]
    assert len(weights) == 2 and stored.issuperset(weights)
    assert "weight_g" in net.conv._parameters


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: torch.compile(m, backend="eager")])
def test_a_wrapped_model_is_exported_as_the_model_within(tmp_path, path, model, wrap):
    paconv.export(wrap(model), tmp_path / "model.onnx", SHAPE)
    assert (tmp_path / "model.onnx").read_bytes() == path.read_bytes()
