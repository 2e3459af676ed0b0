"""DenseNet121: its published shapes, and batch norms that read a concatenation fold into endpoints."""

from __future__ import annotations

import torch

import paconv
from paconv import models
from paconv.models.densenet import DenseNet
from paconv.nn.calibrate import settle_batch_norm
from paconv.passes.fuse.unfuse import canonical


def test_the_state_dict_has_torchvisions_names():
    with torch.device("meta"):
        state = models.densenet121().state_dict()
    assert len(state) == 727
    shapes = {
        "features.conv0.weight": (64, 3, 7, 7),
        "features.norm0.running_var": (64,),
        "features.denseblock1.denselayer1.norm1.weight": (64,),
        "features.denseblock2.denselayer12.conv1.weight": (128, 480, 1, 1),
        "features.denseblock3.denselayer24.conv2.weight": (32, 128, 3, 3),
        "features.transition3.conv.weight": (512, 1024, 1, 1),
        "features.transition3.norm.num_batches_tracked": (),
        "features.norm5.bias": (1024,),
        "classifier.weight": (1000, 1024),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def test_the_maps_have_the_published_sizes():
    with torch.device("meta"):
        features = models.densenet121().features
        x, shapes = torch.empty(1, 3, 224, 224), {}
        for name, module in features.named_children():
            x = module(x)
            shapes[name] = tuple(x.shape[1:])
    blocks, transitions = ([shapes[name] for name in shapes if kind in name] for kind in ("denseblock", "transition"))
    assert blocks == [(256, 56, 56), (512, 28, 28), (1024, 14, 14), (1024, 7, 7)]
    assert transitions == [(128, 28, 28), (256, 14, 14), (512, 7, 7)]


def test_every_batch_norm_of_a_dense_block_folds_though_it_reads_a_concatenation(tmp_path):
    torch.manual_seed(0)
    model = paconv.convert(DenseNet(8, (3, 2), 5), M=4, N=5)
    settle_batch_norm(model, [torch.randn(4, 3, 32, 32)])
    paconv.export(model, tmp_path / "model.onnx", (3, 32, 32))
    result = paconv.optimize(tmp_path / "model.onnx", tmp_path / "pa.onnx")
    lines = result.report.convs
    assert [line.form for line in lines] == ["real"] + ["bit-conv"] * 11
    assert all(line.folded == ("relu", "bn-before") and line.kept == () for line in lines[1:])
    ops = [node.op_type for node in canonical(result.model).graph.node]
    # what is left: the stem's, and the one in front of the classifier
    assert ops.count("Relu") == 2 and ops.count("BatchNormalization") == 2
    assert ops.count("Concat") == 5
    assert paconv.verify(tmp_path / "model.onnx", tmp_path / "pa.onnx").ok
