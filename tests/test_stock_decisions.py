"""Whole networks of integer levels: a stock onnxruntime and the library have the same tensors, bit for bit."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

import paconv
from paconv.models.activations import activation_class
from paconv.models.bireal import BiRealBlock
from paconv.models.resnet import BasicBlock
from paconv.nn import calibrate, settle_batch_norm
from paconv.ops import PA_BIT_CONV, PA_LEVEL_CONV
from paconv.ops.integer_levels import integer_levels
from paconv.passes.fuse.unfuse import unfuse
from paconv.reference import activation_levels, finish_conv, finish_level_conv, integer_sums
from tests.ops.test_function_bodies import OPTIMIZATIONS
from tests.snapping import snapped

SIZE = 24


def residual(scheme: str) -> nn.Module:
    shortcut = nn.Sequential(nn.Conv2d(32, 64, 1, 2, bias=False), nn.BatchNorm2d(64))
    return with_stem(BasicBlock(32, 32, 1, None), BasicBlock(32, 64, 2, shortcut), BasicBlock(64, 64, 1, None))


def bireal(scheme: str) -> nn.Module:
    act = activation_class("relu" if scheme == "pa" else "clip")
    return with_stem(*(BiRealBlock(*shape, act) for shape in ((32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 64, 1))))


def with_stem(*blocks: nn.Module) -> nn.Module:
    stem = nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def mobile(scheme: str) -> nn.Module:
    def block(channels: int, out: int, stride: int) -> list[nn.Module]:
        depthwise = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
        point = nn.Conv2d(channels, out, 1, bias=False)
        return [depthwise, nn.BatchNorm2d(channels), nn.ReLU(), point, nn.BatchNorm2d(out), nn.ReLU6()]

    return with_stem(*block(32, 40, 1), *block(40, 64, 2), *block(64, 64, 1))


CASES = {
    "PA(4,5) between depthwise convolutions": (mobile, "pa", {"M": 4, "N": 5}),
    "PA(4,5)": (residual, "pa", {"M": 4, "N": 5}),
    "PA(8,7)": (residual, "pa", {"M": 8, "N": 7}),
    "Bi-Real": (bireal, "bireal", {}),
    "PA(4,5) in Bi-Real's layout": (bireal, "pa", {"M": 4, "N": 5}),
    "XNOR": (residual, "xnor", {}),
    "XNOR without K": (residual, "xnor", {"input_scaling": False}),
    "DoReFa(1,2)": (residual, "dorefa", {"M": 1, "N": 2}),
    "DoReFa(3,3)": (residual, "dorefa", {"M": 3, "N": 3}),
    "SYQ(1,4)": (residual, "syq", {"M": 1, "N": 4}),
}


@pytest.fixture(
    scope="module", params=[pytest.param(n, marks=pytest.mark.slow if n == "SYQ(1,4)" else ()) for n in CASES]
)
def packed(request, tmp_path_factory) -> onnx.ModelProto:
    build, scheme, options = CASES[request.param]
    torch.manual_seed(0)
    model = paconv.convert(build(scheme), scheme=scheme, **options)
    images = [torch.randn(4, 3, SIZE, SIZE)]
    settle_batch_norm(model, images)
    calibrate(model, images)
    path = tmp_path_factory.mktemp("net") / "model.onnx"
    paconv.export(model, path, (3, SIZE, SIZE))
    return paconv.optimize(snapped(onnx.load(path))).model


def with_tensors(model: onnx.ModelProto, names: list[str]) -> bytes:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    existing = {o.name for o in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in existing)
    return copy.SerializeToString()


def test_a_stock_onnxruntime_and_the_library_have_the_same_levels_and_results(packed):
    results = [name for node, *_ in convolutions(packed) for name in node.output if name]
    names = [*unfuse(packed).levels, *results]  # what stands behind them is onnxruntime's own
    data = with_tensors(packed, names)
    stock = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    library = paconv.InferenceSession(data)
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal((2, 3, SIZE, SIZE)).astype(np.float32)
        expected, found = (session.run(names, {"input": x}) for session in (stock, library))
        for name, a, b in zip(names, expected, found, strict=True):
            assert a.dtype == b.dtype and np.array_equal(a, b), name


def test_every_quantized_convolution_of_these_networks_has_integer_levels(packed):
    convs = convolutions(packed)
    assert convs and all(integer_levels(attributes, inputs) is not None for _, attributes, inputs in convs)


@pytest.mark.parametrize("optimization", OPTIMIZATIONS)
def test_each_convolution_in_a_stock_onnxruntime_gives_the_bits_of_the_reference(packed, optimization):
    convs = convolutions(packed)
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in packed.graph.initializer}
    read = dict.fromkeys(n for node, *_ in convs for n in (*node.input[:2], *node.output))
    names = [n for n in read if n and n not in stored]
    options = ort.SessionOptions()
    options.graph_optimization_level = optimization
    session = ort.InferenceSession(with_tensors(packed, names), options, ["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((2, 3, SIZE, SIZE)).astype(np.float32)
    values = stored | dict(zip(names, session.run(names, {"input": x}), strict=True))
    for node, attributes, inputs in convs:
        for name, array in zip(node.output, computed(node, attributes, inputs, values), strict=False):
            assert not name or np.array_equal(values[name], array), name


def computed(node, attributes, inputs, values) -> list[np.ndarray]:
    """The node's outputs by the reference, from the tensors that it reads."""
    first = values[node.input[0]]
    fused = node.op_type == "PALevelConv"
    levels = first.transpose(0, 3, 1, 2) if fused else activation_levels(first, inputs["v"], inputs["sign"])
    sums = integer_sums(levels, integer_levels(attributes, inputs), attributes)
    S = finish_conv(sums, inputs["scale"], inputs["bias"])
    if not fused:
        return [S]
    return list(finish_level_conv(S.transpose(0, 2, 3, 1), values[node.input[1]], inputs).values())


def convolutions(model: onnx.ModelProto) -> list[tuple[onnx.NodeProto, dict, dict[str, np.ndarray]]]:
    """(node, attributes, constant inputs by name) of every PABitConv and PALevelConv."""
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    names = {op.name: [t.name for t in op.inputs] for op in (PA_BIT_CONV, PA_LEVEL_CONV)}
    return [
        (
            node,
            {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
            {name: stored[i] for name, i in zip(names[node.op_type], node.input, strict=True) if i in stored},
        )
        for node in model.graph.node
        if node.op_type in names
    ]
