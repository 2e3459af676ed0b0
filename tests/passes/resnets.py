"""PA-ResNets as exported ONNX models, built without torch: the layout conv-bn-relu-conv-bn-add-relu, random weights."""

from __future__ import annotations

import numpy as np
import onnx

from tests.passes.graphs import model

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class _Builder:
    """Writes nodes as text, and keeps their initializers."""

    def __init__(self, M: int, N: int | None, seed: int):
        self.rng = np.random.default_rng(seed)
        self.M, self.N = M, N
        self.lines: list[str] = []
        self.arrays: dict[str, np.ndarray] = {}

    def conv(self, x: str, name: str, into: int, out: int, kernel: int, stride: int, real: bool = False) -> str:
        W = self.rng.standard_normal((out, into, kernel, kernel), np.float32) * np.float32(1 / (kernel * into**0.5))
        self.arrays[f"{name}.weight"] = W
        weight, pad = f'"{name}.weight"', kernel // 2
        if not real:
            half = np.arange(1, self.M // 2 + 1) / 2
            self.arrays[f"{name}.u"] = np.float32([*-half[::-1], *half]) * W.std()
            self.arrays[f"{name}.alpha"] = np.float32([*(-half[::-1] - 0.1), 0, *(half + 0.1)]) * W.std()
            self.lines.append(f'"{name}.W_bar" = paconv.PAWeight({weight}, "{name}.u", "{name}.alpha")')
            weight = f'"{name}.W_bar"'
            if self.N is not None:
                self.arrays[f"{name}.v"] = np.float32(np.arange(1, self.N + 1) / 4)
                self.arrays[f"{name}.levels"] = np.float32([0, *(np.arange(1, self.N + 1) / 4 + 0.05)])
                self.lines.append(f'"{name}.q" = paconv.PAActivation({x}, "{name}.v", "{name}.levels")')
                x = f'"{name}.q"'
        attributes = f"strides = [{stride}, {stride}], pads = [{pad}, {pad}, {pad}, {pad}]"
        self.lines.append(f'["{name}"] "{name}.out" = Conv <{attributes}> ({x}, {weight})')
        return f'"{name}.out"'

    def bn(self, x: str, name: str, channels: int) -> str:
        uniform = self.rng.uniform
        values = {
            "weight": uniform(0.5, 1.5, channels),
            "bias": uniform(-0.5, 0.5, channels),
            "mean": uniform(-0.5, 0.5, channels),
            "var": uniform(0.5, 1.5, channels),
        }
        self.arrays |= {f"{name}.{key}": np.float32(value) for key, value in values.items()}
        inputs = ", ".join(f'"{name}.{key}"' for key in values)
        self.lines.append(f'["{name}"] "{name}.out" = BatchNormalization({x}, {inputs})')
        return f'"{name}.out"'

    def node(self, text: str, name: str) -> str:
        self.lines.append(f'"{name}" = {text}')
        return f'"{name}"'


def pa_resnet(depth: int, M: int, N: int | None, seed: int = 0, size: int | None = None) -> onnx.ModelProto:
    """PA-ResNet of depth 18, 34 or 50 (v1), 1000 classes, free batch, and free image size without `size`."""
    b = _Builder(M, N, seed)
    expansion = 4 if depth == 50 else 1
    x = b.bn(b.conv("x", "conv1", 3, 64, 7, 2, real=True), "bn1", 64)
    x = b.node(f"Relu({x})", "relu")
    x = b.node(f"MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> ({x})", "maxpool")
    into = 64
    for stage, count in enumerate(BLOCKS[depth]):
        width = 64 << stage
        for index in range(count):
            name, stride, out = f"layer{stage + 1}.{index}", 2 if stage and not index else 1, width * expansion
            bottleneck, basic = [(width, 1, stride), (width, 3, 1), (out, 1, 1)], [(width, 3, stride), (out, 3, 1)]
            plan = bottleneck if depth == 50 else basic
            y, channels, shortcut = x, into, x
            for number, (wide, kernel, step) in enumerate(plan, 1):
                y = b.conv(y, f"{name}.conv{number}", channels, wide, kernel, step)
                y, channels = b.bn(y, f"{name}.bn{number}", wide), wide
                if number < len(plan):
                    y = b.node(f"Relu({y})", f"{name}.relu{number}")
            if stride != 1 or into != out:
                shortcut = b.bn(b.conv(x, f"{name}.downsample.0", into, out, 1, stride), f"{name}.downsample.1", out)
            x, into = b.node(f"Relu({b.node(f'Add({y}, {shortcut})', f'{name}.sum')})", f"{name}.out"), out
    b.arrays["fc.weight"] = b.rng.standard_normal((1000, into), np.float32) / np.float32(into)
    b.arrays["fc.bias"] = np.zeros(1000, np.float32)
    x = b.node(f"Flatten({b.node(f'GlobalAveragePool({x})', 'pool')})", "flat")
    b.lines.append(f'y = Gemm <transB = 1> ({x}, "fc.weight", "fc.bias")')
    text = "\n".join(b.lines)
    image = "height,width" if size is None else f"{size},{size}"
    return model(f"resnet{depth} (float[batch,3,{image}] x) => (float[batch,1000] y) {{\n{text}\n}}", **b.arrays)
