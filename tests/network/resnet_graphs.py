"""ResNets as ONNX graphs in each of a model's forms, with shapes but without weight data: cheap to build and
to count.

Written from the architecture alone (7x7 stem, four groups, v1 bottlenecks), independently of paconv's own
models.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from paconv.bits import code_bits, one_hot_masks, packed_bytes
from paconv.ops import DOMAIN, OPSET_VERSION, PA_BIT_CONV, add_functions

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}

FORMS = ("float", "exported", "optimized")


def resnet_graph(
    depth: int, form: str = "float", M: int = 4, N: int | None = 5, image=(3, 224, 224), batch="batch"
) -> onnx.ModelProto:
    """conv-bn-relu blocks. exported: PA functions before each binary conv; optimized: batch norms folded into
    it.
    """
    return _Builder(form, M, N).resnet(depth, image, batch)


class _Builder:
    def __init__(self, form: str, M: int, N: int | None):
        assert form in FORMS
        self.form, self.M, self.N = form, M, N
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def resnet(self, depth: int, image, batch) -> onnx.ModelProto:
        x = self.relu(self.batch_norm(self.conv("conv1", "image", (64, 3, 7, 7), 2), "bn1", 64))
        x = self.node("MaxPool", [x], "maxpool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        channels = 64
        for group, blocks in enumerate(BLOCKS[depth]):
            width = 64 << group
            for block in range(blocks):
                stride = 2 if group and not block else 1
                name = f"layer{group + 1}.{block}"
                out = 4 * width if depth == 50 else width
                x = self.block(name, x, channels, width, out, stride)
                channels = out
        x = self.node("GlobalAveragePool", [x], "avgpool")
        x = self.node("Flatten", [x], "flatten", axis=1)
        weight, bias = self.empty("fc.weight", (1000, channels)), self.empty("fc.bias", (1000,))
        self.nodes.append(helper.make_node("Gemm", [x, weight, bias], ["logits"], "fc", transB=1))
        graph = helper.make_graph(
            self.nodes,
            "resnet",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, *image])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 1000])],
            self.initializers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        add_functions(model)
        return model

    def block(self, name: str, x: str, channels: int, width: int, out: int, stride: int) -> str:
        if out == width:
            convs = [(channels, width, 3, stride), (width, width, 3, 1)]
        else:
            convs = [(channels, width, 1, stride), (width, width, 3, 1), (width, out, 1, 1)]
        y, folded = x, 0
        for number, (c, o, k, s) in enumerate(convs, 1):
            last = number == len(convs)
            y = self.binary_conv(f"{name}.conv{number}", y, (o, c, k, k), s, folded_before=folded, folded_after=last)
            # A batch norm between two convolutions folds into the endpoints of the second, one before an Add into
            # the output scale of the conv.
            folded = o if self.folds else 0
            if not self.folds:
                y = self.batch_norm(y, f"{name}.bn{number}", o)
                y = y if last else self.relu(y)
        if stride != 1 or channels != out:
            x = self.binary_conv(f"{name}.downsample.0", x, (out, channels, 1, 1), stride, folded_after=True)
            if not self.folds:
                x = self.batch_norm(x, f"{name}.downsample.1", out)
        return self.relu(self.node("Add", [y, x], f"{name}.add"))

    @property
    def folds(self) -> bool:
        return self.form == "optimized" and self.N is not None

    def binary_conv(self, name, x, shape, stride, folded_before=0, folded_after=False) -> str:
        if self.form == "float":
            return self.conv(name, x, shape, stride)
        if self.folds:
            return self.bit_conv(name, x, shape, stride, folded_before, folded_after)
        if self.form == "optimized":
            weight = self.unpacked(name, shape)
        else:
            source = self.empty(f"{name}.weight", shape)
            u = self.constant(f"{name}.u", np.arange(self.M))
            levels = self.constant(f"{name}.levels", np.arange(self.M + 1))
            weight = self.node("PAWeight", [source, u, levels], f"{name}.quantized", domain=DOMAIN)
        if self.N is not None:
            # conv1 and the downsample call the same quantizer on the same tensor: two nodes, one binarization.
            v = self.constant(f"{x}.v", np.arange(1, self.N + 1), once=True)
            beta = self.constant(f"{x}.beta", np.arange(self.N + 1), once=True)
            x = self.node("PAActivation", [x, v, beta], f"{name}.activation", domain=DOMAIN)
        return self.conv(name, x, shape, stride, weight)

    def conv(self, name, x, shape, stride, weight=None) -> str:
        weight = weight or self.empty(f"{name}.weight", shape)
        pad = shape[2] // 2
        return self.node("Conv", [x, weight], name, strides=[stride] * 2, pads=[pad] * 4, kernel_shape=list(shape[2:]))

    def bit_conv(self, name, x, shape, stride, folded_before, folded_after) -> str:
        out, pad = shape[0], shape[2] // 2
        count = int(np.prod(shape))
        v = np.broadcast_to(np.arange(1, self.N + 1), (folded_before or 1, self.N))
        inputs = [
            x,
            self.empty(f"{name}.W", (code_bits(self.M + 1), packed_bytes(count)), TensorProto.UINT8),
            self.constant(f"{name}.alpha", np.arange(self.M + 1)[None]),
            self.constant(f"{name}.v", v),
            self.constant(f"{name}.sign", np.ones(1), np.int8),
            self.constant(f"{name}.beta", np.arange(self.N + 1)),
            self.constant(f"{name}.scale", np.linspace(1, 2 if folded_after else 1, out)),
            self.constant(f"{name}.bias", np.full(out, 3 if folded_after else 0)),
        ]
        attributes = dict(
            weight_shape=list(shape), weight_masks=one_hot_masks(self.M), level_masks=one_hot_masks(self.N),
            strides=[stride] * 2, pads=[pad] * 4, dilations=[1, 1], group=1, version=OPSET_VERSION,
        )  # fmt: skip
        assert attributes.keys() == {each.name for each in PA_BIT_CONV.attributes}
        return self.node("PABitConv", inputs, name, domain=DOMAIN, **attributes)

    def unpacked(self, name, shape) -> str:
        W = self.empty(f"{name}.W", (code_bits(self.M + 1), packed_bytes(int(np.prod(shape)))), TensorProto.UINT8)
        alpha = self.constant(f"{name}.alpha", np.arange(self.M + 1)[None])
        masks = one_hot_masks(self.M)
        return self.node(
            "PAUnpackWeight",
            [W, alpha],
            f"{name}.unpacked",
            domain=DOMAIN,
            weight_shape=list(shape),
            weight_masks=masks,
        )

    def batch_norm(self, x, name, channels) -> str:
        parts = [self.empty(f"{name}.{part}", (channels,)) for part in ("weight", "bias", "mean", "var")]
        return self.node("BatchNormalization", [x, *parts], name)

    def relu(self, x) -> str:
        return self.node("Relu", [x], f"{x}.relu")

    def node(self, op, inputs, name, **attributes) -> str:
        self.nodes.append(helper.make_node(op, inputs, [f"{name}.out"], name, **attributes))
        return f"{name}.out"

    def empty(self, name, shape, dtype=TensorProto.FLOAT) -> str:
        self.initializers.append(TensorProto(name=name, dims=shape, data_type=dtype))
        return name

    def constant(self, name, values, dtype=np.float32, once=False) -> str:
        if not once or all(i.name != name for i in self.initializers):
            self.initializers.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name
