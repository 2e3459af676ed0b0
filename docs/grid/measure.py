"""What an integer grid costs in accuracy: trained networks evaluated with their real levels and on grids.

    python docs/grid/measure.py FOLDER [--seeds 5]

Trains, in FOLDER, networks of `paconv compare` with the rates that docs/comparison chose and the net of
examples/01_train_digits.py; what is there already isn't trained again. Each network is evaluated as it was trained and
on each grid, so that differences are paired by the network itself. Writes measured.json beside this file and prints the
tables.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paconv
from paconv.digits_images import held_out_digits, training_digits
from paconv.files import write_text
from paconv.models import digits_resnet
from paconv.nn import PAActivation, PAConv2d, PAWeight, calibrate, snap_
from paconv.reporting.tables import Column, Table, markdown
from paconv.studies.accuracy.runs import Run, execute
from paconv.studies.accuracy.statistics import difference, figures
from paconv.studies.accuracy.study import Study
from paconv.studies.accuracy.systems import parse_system
from paconv.train import Settings, fit, open_source
from paconv.train.batches import evaluation_batches
from paconv.train.distributed import Ranks

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples/01_train_digits.py"
SAMPLE = "the sample"
RATES = {
    "digits:0.7": {
        "float": 0.016,
        "pa:4,5": 0.001,
        "pa:8,7": 0.016,
        "abc:5,5": 0.016,
        "lqnet:2,2": 0.001,
        "ttq": 0.004,
    },
    "synthetic": {"float": 0.004, "pa:4,5": 0.016},
}
"""Learning rates by data and system: those that docs/comparison chose, TTQ's as TWN's there."""

REAL = "real levels"
GRIDS = {"default": "default", "(15, 31)": (15, 31), "(7, 15)": (7, 15), "(7, 7)": (7, 7)}


def networks(folder: Path, seeds: int):
    """(data, system, seed, trained network, held-out images and labels)."""
    study = Study()
    for data, rates in RATES.items():
        for seed in range(seeds):
            held_out = open_source(data, seed=seed).held_out
            batches = list(evaluation_batches(held_out, 64, Ranks(), 0))
            images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
            parent = Run(data, parse_system("float"), "relu", seed, rates["float"])
            execute(parent, study, folder)
            for name, rate in rates.items():
                if name != "float":
                    run = Run(data, parse_system(name), "relu", seed, rate, parent.folder)
                    execute(run, study, folder)
                    yield data, name, seed, paconv.load(folder / run.folder / "model.pt"), images, labels
    spec = importlib.util.spec_from_file_location("example", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    images, labels = map(torch.from_numpy, held_out_digits())
    for seed in range(seeds):
        model = sample(example, folder / f"sample{seed}.pt", seed)
        yield SAMPLE, f"pa:{example.M},{example.N}", seed, model, images, labels


def sample(example, path: Path, seed: int) -> nn.Module:
    """The network that the example trains."""
    if not path.exists():
        torch.manual_seed(seed)
        digits = replace(open_source("digits", seed=seed), held_out=None)
        parent = digits_resnet()
        fit(parent, digits, Settings(example.FLOAT_EPOCHS, seed=seed))
        model = paconv.convert(parent, M=example.M, N=example.N)
        calibrate(model, [torch.from_numpy(training_digits()[0][:512])])
        fit(model, digits, Settings(example.PA_EPOCHS, seed=seed))
        paconv.save(model, path)
    return paconv.load(path)


def variants(trained: nn.Module):
    """(name, network): `trained` with real levels and on grids."""
    is_pa = trained.paconv_conversion["scheme"] == "pa"
    for name, grid in {REAL: None, **GRIDS}.items():
        model = copy.deepcopy(trained)
        snap_(model, grid)
        yield name, model
        if is_pa and isinstance(grid, tuple):
            yield f"{name}, endpoints between the levels", midpoints(copy.deepcopy(model))
    if is_pa:
        model = copy.deepcopy(trained)
        for module in model.modules():
            if isinstance(module, PAActivation):
                module.counts = None
        snap_(model)
        yield "default, activations normal", model


@torch.no_grad()
def midpoints(model: nn.Module) -> nn.Module:
    """Endpoints in the middle between their levels."""
    for module in model.modules():
        if isinstance(module, PAConv2d) and isinstance(quantizer := module.weight_quantizer, PAWeight):
            levels = quantizer.endpoints_and_levels(module.weight)[1]
            quantizer.u, quantizer.levels = (levels[1:] + levels[:-1]) / 2, levels
        elif isinstance(module, PAActivation):
            levels = module.levels()
            module.v.copy_((levels[1:] + levels[:-1]) / 2)
    return model


@torch.no_grad()
def measured(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """(accuracy, loss)."""
    logits = torch.cat([model(part) for part in images.split(64)])
    return (logits.argmax(1) == labels).double().mean().item(), F.cross_entropy(logits.double(), labels).item()


COLUMNS = (
    Column("system", "network", left=True),
    Column("variant", "levels", left=True),
    Column("accuracy", "accuracy [%]", "measured", lambda v: f"{100 * v:.2f}"),
    Column("change", "difference [points]", "measured", lambda v: f"{100 * v:+.2f}"),
    Column("spread", "spread", "measured", lambda v: f"{100 * v:.2f}"),
    Column("interval", "+-", "measured", lambda v: f"{100 * v:.2f}"),
    Column("seeds", "better, worse"),
    Column("loss", "loss", "measured", "{:+.4f}".format),
    Column("loss_interval", "+-", "measured", "{:.4f}".format),
)


def tables(found: dict) -> str:
    parts = []
    for data, systems in found.items():
        rows = []
        for system, by_variant in systems.items():
            real = by_variant[REAL]
            for variant, values in by_variant.items():
                row = {"system": system, "variant": variant, "accuracy": figures(values["accuracy"]).mean}
                if variant != REAL:
                    gap, loss = (difference(values[what], real[what]) for what in ("accuracy", "loss"))
                    row |= {"change": gap.mean, "spread": gap.spread, "interval": gap.half_width}
                    row |= {"seeds": f"{gap.higher}, {gap.lower} of {gap.count}"}
                    row |= {"loss": loss.mean, "loss_interval": loss.half_width}
                rows.append(row)
        parts.append(markdown(Table(data, COLUMNS, rows)))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    found: dict = {}
    for data, system, seed, trained, images, labels in networks(options.folder, options.seeds):
        for variant, model in variants(trained.eval()):
            accuracy, loss = measured(model, images, labels)
            row = found.setdefault(data, {}).setdefault(system, {}).setdefault(variant, {"accuracy": [], "loss": []})
            row["accuracy"].append(accuracy)
            row["loss"].append(loss)
        print(data, system, seed, flush=True)
        write_text(HERE / "measured.json", json.dumps(found, indent=1))
    print(tables(found))


if __name__ == "__main__":
    main()
