"""Three trained networks out of wheels that read or find rendered text: EasyOCR's recognizer, PP-OCRv4's, and CRAFT."""

from __future__ import annotations

import random
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from rendered_words import WORDS, decoded, fonts, rendered_words, right
from scipy import ndimage
from torch import nn

EASYOCR_CHARACTERS = (
    "0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \u20acABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)
PPOCR = "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"
CRAFT_SIZE = 160

WORDS_READ = 1000
"""By each form of a recognizer; one of them is 0.1 points."""

Run = Callable[[np.ndarray], np.ndarray]


def measured(part: str, folder: Path, wheels: Path, trial_type: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    return {"easyocr": _easyocr, "ppocr": _ppocr, "craft": _craft}[part](folder, wheels, trial_type)


def batched(run: Run, images: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([run(images[i : i + size]) for i in range(0, len(images), size)])


def _reading(source: Path, images: np.ndarray, words: list[str], characters: list[str]) -> Callable[[Run], dict]:
    """Percent of words right, and percent that is what the float network reads."""
    session = ort.InferenceSession(source)
    feed = session.get_inputs()[0].name
    reference = decoded(batched(lambda x: session.run(None, {feed: x})[0], images, 25), characters)

    def score(run: Run) -> dict[str, float]:
        found = decoded(batched(run, images, 25), characters)
        same = np.mean([a == b for a, b in zip(found, reference, strict=True)])
        return {"right": round(100 * right(found, words), 2), "agree": round(100 * float(same), 2)}

    return score


class _Recognizer(nn.Module):
    """EasyOCR's network without its second input, which it ignores, and with a mean in place of the pooling."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.net.FeatureExtraction(x).permute(0, 3, 1, 2).mean(3)
        return self.net.Prediction(self.net.SequenceModeling(features))


def _import_easyocr(wheels: Path) -> None:
    """Its models alone; easyocr itself needs OpenCV, and torchvision for nothing but VGG16's layers."""
    package = types.ModuleType("easyocr")
    package.__path__ = [str(wheels / "easyocr")]
    vision, models = types.ModuleType("torchvision"), types.ModuleType("torchvision.models")
    vision.__version__, vision.models, models.vgg16_bn = "0.20", models, _vgg16_bn
    sys.modules |= {"easyocr": package, "torchvision": vision, "torchvision.models": models}


def _vgg16_bn(weights: None) -> Any:
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2, 2))
    return types.SimpleNamespace(features=nn.Sequential(*layers))


def _loaded(net: nn.Module, path: Path) -> nn.Module:
    state = torch.load(path, map_location="cpu", weights_only=True)
    net.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    return net.eval()


def _export(net: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    torch.onnx.export(
        net, (torch.zeros(1, *shape),), path, dynamo=False, opset_version=13, input_names=["x"],
        output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
    )  # fmt: skip


def _easyocr(folder: Path, wheels: Path, trial_type: Any) -> dict[str, Any]:
    _import_easyocr(wheels)
    from easyocr.model.vgg_model import Model

    net = Model(1, 256, 256, len(EASYOCR_CHARACTERS) + 1)
    net = _Recognizer(_loaded(net, wheels / "easyocr_en_models/models/english_g2.pth"))
    source = folder / "float.onnx"
    _export(net, (1, 64, 256), source)

    def pictures(count: int, seed: int) -> tuple[np.ndarray, list[str]]:
        images, words = rendered_words(count, seed, 64, 256)
        return (images[:, None].astype(np.float32) / 255 - 0.5) / 0.5, words

    images, words = pictures(WORDS_READ, 2)
    trial = trial_type(folder, pictures(128, 1)[0], _reading(source, images, words, list(EASYOCR_CHARACTERS)))
    trial.note("float", source)
    trial.pa("(8,7)", source, 8, 7)
    quantized = trial.pa("(4,5)", source, 4, 5)
    last = [node.name for node in onnx.load(source).graph.node if node.op_type == "Conv"][-1]
    for M, N in ((8, 7), (4, 5)):
        trial.pa(f"({M},{N}), last convolution real", source, M, N, keep=[last])
    for M, N in ((4, 5), (5, 6), (5, 7)):
        trial.pa(f"({M},{N}), digits", source, M, N, digits=True)
    for form in ("int8, min and max", "w4a8"):
        trial.other(form, source, quantized)
    return trial.found


def ppocr_characters(path: Path) -> list[str]:
    """Of a recognizer of PaddleOCR, which carries them."""
    (text,) = (prop.value for prop in onnx.load(path).metadata_props if prop.key == "character")
    return [*text.splitlines(), " "]


EARLY = [f"p2o.Conv.{number}" for number in (2, 4, 6, 8, 10)]


def _ppocr(folder: Path, wheels: Path, trial_type: Any) -> dict[str, Any]:
    source = wheels / PPOCR

    def pictures(count: int, seed: int) -> tuple[np.ndarray, list[str]]:
        images, words = rendered_words(count, seed, 48, 192)
        return np.repeat((images[:, None].astype(np.float32) / 255 - 0.5) / 0.5, 3, 1), words

    images, words = pictures(WORDS_READ, 2)
    trial = trial_type(folder, pictures(128, 1)[0], _reading(source, images, words, ppocr_characters(source)))
    trial.note("float", source)
    quantized = trial.pa("(8,7)", source, 8, 7)
    trial.pa("(8, real activations)", source, 8, None)
    trial.pa("(8,7), first five real", source, 8, 7, keep=EARLY)
    trial.pa("(8,7), eight worst real", source, 8, 7, worst=8)
    for M, N in ((4, 5), (5, 6), (5, 7)):
        trial.pa(f"({M},{N}), digits", source, M, N, digits=True)
    for form in ("int8, min and max", "w4a8"):
        trial.other(form, source, quantized)
    return trial.found


def scenes(count: int, seed: int, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Pictures (count, size, size, 3) uint8 with words on them, and the boxes (left, top, right, bottom) of these."""
    draw = random.Random(seed)
    pictures, truth = [], []
    for _ in range(count):
        paper = tuple(draw.randint(140, 255) for _ in range(3))
        picture = Image.new("RGB", (size, size), paper)
        pen, boxes, top = ImageDraw.Draw(picture), [], draw.randint(4, 14)
        while True:
            font = ImageFont.truetype(draw.choice(fonts()), draw.randint(15, 30))
            word, left = draw.choice(WORDS), draw.randint(4, size // 3)
            box = pen.textbbox((left, top), word, font=font)
            if box[3] >= size - 4:
                break
            if box[2] < size - 4:
                pen.text((left, top), word, fill=tuple(draw.randint(0, 100) for _ in range(3)), font=font)
                boxes.append(box)
            top = int(box[3]) + draw.randint(6, 16)
        picture = picture.filter(ImageFilter.GaussianBlur(draw.uniform(0, 1.0)))
        noise = np.random.default_rng(draw.randrange(1 << 30)).normal(0, draw.uniform(0, 20), (size, size, 3))
        pictures.append(np.clip(np.asarray(picture, np.float64) + noise, 0, 255).astype(np.uint8))
        truth.append(np.array(boxes, float).reshape(-1, 4))
    return np.stack(pictures), truth


def boxes_of(maps: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) of the score maps (H/2, W/2, 2) of text and of links between letters, by CRAFT's thresholds."""
    text, link = maps[..., 0], maps[..., 1]
    labels, count = ndimage.label((text > 0.4) | (link > 0.4))
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels, count), 1):
        inside = labels[rows, columns] == number
        area = int(inside.sum())
        if area < 10 or text[rows, columns][inside].max() < 0.7:
            continue
        height, width = rows.stop - rows.start, columns.stop - columns.start
        grown = int(2 * (area * min(height, width) / (height * width)) ** 0.5 / 2)
        box = (columns.start - grown, rows.start - grown, columns.stop + grown, rows.stop + grown)
        found.append(2 * np.array(box, float))
    return np.array(found).reshape(-1, 4)


def f1(found: list[np.ndarray], truth: list[np.ndarray]) -> float:
    """Percent: boxes that lie over one of the truth by half of both together count as right."""
    hits = 0
    for boxes, wanted in zip(found, truth, strict=True):
        left = list(range(len(wanted)))
        for box in boxes:
            overlaps = [_overlap(box, wanted[index]) for index in left]
            if overlaps and max(overlaps) >= 0.5:
                left.pop(int(np.argmax(overlaps)))
                hits += 1
    return 200 * hits / max(sum(map(len, found)) + sum(map(len, truth)), 1)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = sides.clip(0).prod()
    return both / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - both)


def _craft(folder: Path, wheels: Path, trial_type: Any) -> dict[str, Any]:
    _import_easyocr(wheels)
    from easyocr.craft import CRAFT

    class Maps(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)[0]

    net = _loaded(CRAFT(pretrained=False), wheels / "easyocr_en_models/models/craft_mlt_25k.pth")
    source = folder / "float.onnx"
    _export(Maps(net), (3, CRAFT_SIZE, CRAFT_SIZE), source)
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)

    def network_input(pictures: np.ndarray) -> np.ndarray:
        return ((pictures.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2).copy()

    pictures, truth = scenes(24, 2, CRAFT_SIZE)
    images = network_input(pictures)
    session = ort.InferenceSession(source)
    float_maps = batched(lambda x: session.run(None, {"x": x})[0], images, 4)
    reference = [boxes_of(m) for m in float_maps]

    def score(run: Run) -> dict[str, float]:
        maps = batched(run, images, 4)
        found = [boxes_of(m) for m in maps]
        error = ((maps - float_maps) ** 2).sum() / ((float_maps - float_maps.mean()) ** 2).sum()
        return {
            "right": round(f1(found, truth), 2),
            "agree": round(f1(found, reference), 2),
            "maps_error": round(float(error), 4),
        }

    trial = trial_type(folder, network_input(scenes(16, 1, CRAFT_SIZE)[0]), score)
    trial.note("float", source)
    trial.pa("(8,7)", source, 8, 7)
    quantized = trial.pa("(4,5)", source, 4, 5)
    for form in ("int8, min and max", "w4a8"):
        trial.other(form, source, quantized)
    return trial.found
