"""Which commands there are: what each is for, in a line, and where it is; nothing of them is imported to list them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

import click

__all__ = ["COMMANDS", "GROUPS", "Entry", "load"]


@dataclass(frozen=True)
class Entry:
    """A command."""

    home: str
    """The module and the name in it."""
    help: str
    """What it does, in a line of `paconv --help`."""


GROUPS: Mapping[str, Mapping[str, Entry]] = {
    "Train and quantize": {
        "train": Entry("paconv.cli.train:train", "Train a network: float first, then approximated"),
        "quantize": Entry("paconv.cli.quantize:quantize", "Quantize a trained float network without labels"),
        "compare": Entry("paconv.cli.compare:compare", "Train every scheme on the same data, and compare"),
    },
    "Export and optimize": {
        "export": Entry("paconv.cli.export:export", "Write a checkpoint as model.onnx"),
        "optimize": Entry("paconv.cli.optimize:optimize", "Turn model.onnx into the packed, fast pa.onnx"),
        "verify": Entry("paconv.cli.verify:verify", "Compare pa.onnx with the model that it was made from"),
    },
    "Look": {
        "report": Entry("paconv.cli.report:report", "Show what became of a network, as one HTML file"),
        "summary": Entry("paconv.cli.summary:summary", "Show what each layer is, in a table"),
        "cost": Entry("paconv.cli.cost:cost", "Count memory and operations, predict latency"),
        "inspect": Entry("paconv.cli.inspect:inspect", "Show which kernel each layer runs here, and why"),
    },
    "Serve": {
        "deploy": Entry("paconv.cli.deploy:deploy", "Write a model repository for a server"),
        "build-library": Entry("paconv.cli.build_library:build_library", "Build the custom-op library"),
        "doctor": Entry("paconv.cli.doctor:doctor", "Say what is installed, and what is missing for what"),
    },
    "Measure": {
        "bench": Entry("paconv.cli.bench:bench", "Time models on this machine, side by side"),
        "bench-report": Entry("paconv.cli.bench_report:bench_report", "Compare speed with float, 8 bits and Larq"),
        "check-models": Entry("paconv.cli.check_models:check_models", "Take each architecture through the whole way"),
        "paper-tables": Entry("paconv.cli.paper_tables:paper_tables", "Print the paper's tables beside our counts"),
    },
}
"""Purpose -> name -> command, in the order in which they are listed."""

COMMANDS: Mapping[str, Entry] = {name: entry for group in GROUPS.values() for name, entry in group.items()}


def load(name: str) -> click.Command:
    """The command of that name, its module imported."""
    module, attribute = COMMANDS[name].home.split(":")
    return getattr(import_module(module), attribute)
