"""`paconv cost --host`: the options, the host model behind them, and the model as a whole to be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from paconv.cli.ranges import THREADS
from paconv.cost.host.calibrate import host_model, times_alone
from paconv.cost.host.model import HostModel
from paconv.cost.source import CHECKPOINT_SUFFIXES
from paconv.errors import UsageError
from paconv.measure.turns import Timed
from paconv.onnx_file.loading import load_model
from paconv.onnx_file.shapes import fixed_input_shapes
from paconv.ops import DOMAIN

__all__ = ["HostOptions", "host_options", "model_for", "whole_model"]

_STANDARD_OPS_ONLY = {"PAWeight", "PAActivation"}
"""An exported model runs these as standard ops: what is predicted is the model after `paconv optimize`."""


@dataclass(frozen=True)
class HostOptions:
    host: bool
    threads: int | None
    refresh: bool
    measure: bool

    def check(self) -> None:
        """Raise UsageError for options that need --host."""
        given = {"--threads": self.threads is not None, "--refresh": self.refresh, "--measure": self.measure}
        for name, used in given.items():
            if used and not self.host:
                raise UsageError(f"{name} belongs to --host")


def host_options(command: Callable) -> Callable:
    """Give a command the options of HostOptions, under its field names."""
    for option in reversed((
        click.option("--host", is_flag=True,
                     help="Print latency predicted for this machine instead, for each kernel, from rates that are "
                     "measured once (half a minute) and kept; whether it is faster than float, which layers are "
                     "not, and what would help. With --sweep: add it."),
        click.option("--threads", type=THREADS, help="With --host: threads of onnxruntime's pool.  [default: 1]"),
        click.option("--refresh", is_flag=True, help="With --host: measure the rates again."),
        click.option("--measure", is_flag=True,
                     help="With --host: measure every layer and the network too, and print predicted against "
                     "measured."),
    )):  # fmt: skip
        command = option(command)
    return command


def model_for(options: HostOptions, planes: Iterable[tuple[int, int]]) -> HostModel:
    """The host model with rates for these (M, N); what has to be measured is announced on stderr."""
    threads = 1 if options.threads is None else options.threads
    return host_model(threads, planes, options.refresh, lambda line: click.echo(f"paconv: {line}", err=True))


def whole_model(path: Path, shapes: Mapping[str, Sequence[int]], threads: int) -> Callable[[float], float] | None:
    """Seconds to spend -> best seconds of the model in `path`, None for a checkpoint or exported model."""
    if path.suffix.lower() in CHECKPOINT_SUFFIXES:
        return None
    model = load_model(path)
    if any(node.domain == DOMAIN and node.op_type in _STANDARD_OPS_ONLY for node in model.graph.node):
        return None
    inputs = fixed_input_shapes(model, shapes)
    return lambda budget: times_alone([Timed(model, threads, inputs)], budget, threads)[0]
