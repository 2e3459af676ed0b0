"""`paconv cost`: what a model costs, in any of its forms and under any scheme."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from paconv.cli.console import print_explained
from paconv.cli.delays import delay_options, given_delays
from paconv.cli.host import HostOptions, host_options, model_for, whole_model
from paconv.cli.model_options import factory_option, trust_pickle_option
from paconv.cli.output import TABLES, Choice, explain_option, output_options
from paconv.cli.schemes import FULL, METAVAR, SchemeType, Spelled, given_planes
from paconv.cost import count, rule, storage, under_scheme
from paconv.cost.host.calibrate import measured_alone
from paconv.cost.host.comparison import compare, comparison_data, comparison_table
from paconv.cost.host.kernels import planes_of
from paconv.cost.host.report import host_data, host_table
from paconv.cost.latency_report import latency_data, latency_table
from paconv.cost.plot import plot_sweep
from paconv.cost.report import as_brief_table, as_csv_table, as_data, as_table
from paconv.cost.rules import RULES, STORAGES, Rule, Storage
from paconv.cost.source import network_of_file
from paconv.cost.sweep import PLANES_M, PLANES_N, sweep, sweep_data, sweep_table
from paconv.errors import ModelError, UsageError
from paconv.network.layers import Network
from paconv.onnx_file.shapes import parse_input_shapes
from paconv.reporting.tables import Table, to_json
from paconv.schemes import SCHEMES

__all__ = ["cost"]


@dataclass(frozen=True)
class Shown:
    """How the result is printed."""

    style: str
    quiet: bool
    explain: bool


class _Number(click.ParamType):
    """A number of at least 0, read exactly: 20, 0.5, 1/3."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        try:
            return Fraction(value)
        except (ValueError, ZeroDivisionError):
            self.fail(f"expected a number such as 20 or 0.5; found {value!r}", param, ctx)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@output_options(TABLES)
@explain_option
@click.option(
    "--input-shape",
    "shapes",
    multiple=True,
    metavar="SHAPE",
    help="Sizes of free dimensions: 3x224x224 (CxHxW), INPUT=3x224x224 or DIMENSION=224. "
    "May be repeated. A free batch is 1.",
)
@factory_option
@trust_pickle_option
@click.option(
    "--rule",
    "rule_name",
    type=Choice(list(RULES)),
    default="text",
    show_default=True,
    help="How operations are counted; table7 fits the paper's printed Flops and is for M=4, N=5 only.",
)
@click.option(
    "--storage",
    "storage_name",
    type=Choice(list(STORAGES)),
    default="planes",
    show_default=True,
    help="Bits stored for a binary weight: M planes (the paper), or the index of its level.",
)
@click.option("--mul-per-output", type=_Number(), help="Multiplications per output of a binary layer.")
@click.option("--cmp-per-activation", type=_Number(), help="Comparisons per binarized activation.")
@click.option(
    "--scheme",
    type=SchemeType(SCHEMES, digits=True),
    metavar=METAVAR,
    help="Count the network as it would be under this scheme: pa:4,5, pa:4,full (only weights), pa:5,7,digits, bireal, "
    "float.",
)
@click.option("-M", "M", type=int, help="Weight planes of --scheme, spelled apart.")
@click.option("-N", "N", metavar="INTEGER|full", help="Activation planes of --scheme, spelled apart.")
@click.option(
    "--keep-real",
    multiple=True,
    metavar="LAYER",
    help="Layer that --scheme or --sweep leaves real (* and ? are wildcards). May be repeated.",
)
@click.option(
    "--latency",
    "as_latency",
    is_flag=True,
    help="Print Table 8's latency of each layer and of the network instead; --t-... put numbers in.",
)
@click.option("--sweep", "as_sweep", is_flag=True, help="Print memory and Flops over a grid of M and N instead.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.png|svg", help="With --sweep: draw it.")
@click.option(
    "--allow-uncounted",
    is_flag=True,
    help="Accept a count that leaves out layers that multiply; they are named all the same.",
)
@host_options
@delay_options
def cost(
    model: Path,
    style: str,
    quiet: bool,
    explain: bool,
    shapes: tuple[str, ...],
    factory: str | None,
    trust_pickle: bool,
    rule_name: str,
    storage_name: str,
    mul_per_output: Fraction | None,
    cmp_per_activation: Fraction | None,
    scheme: Spelled | None,
    M: int | None,
    N: str | None,
    keep_real: tuple[str, ...],
    as_latency: bool,
    as_sweep: bool,
    plot: Path | None,
    allow_uncounted: bool,
    host: bool,
    threads: int | None,
    refresh: bool,
    measure: bool,
    **options: float | None,
) -> None:
    """Memory, operations and latency of MODEL, layer by layer and in total.

    MODEL is a float ONNX model, an 8-bit one, an exported model.onnx, an optimized pa.onnx or a checkpoint (.pt); the
    same network costs the same in each form. Exits with 1 if a layer that multiplies can't be counted, and names it;
    --allow-uncounted accepts that.

    \b
    Example:
      paconv cost pa.onnx
      paconv cost pa.onnx --explain
      paconv cost resnet18.onnx --scheme pa:8,7 --format json
      paconv cost resnet.onnx --input-shape 3x224x224 --allow-uncounted
      paconv cost resnet18.onnx --sweep --plot sweep.png
      paconv cost pa.onnx --host --measure
    """
    times = given_delays(options)
    on_host = HostOptions(host, threads, refresh, measure)
    on_host.check()
    show = Shown(style, quiet, explain)
    _check_combination(scheme, M, N, keep_real, as_latency, as_sweep, plot, times, on_host)
    by, stored = rule(rule_name, mul_per_output, cmp_per_activation), storage(storage_name)
    sizes = parse_input_shapes(shapes)
    network = network_of_file(model, sizes, factory=factory, trust_pickle=trust_pickle)
    if as_sweep:
        _print_sweep(network, model.name, by, stored, keep_real, plot, show, on_host)
    else:
        if scheme is not None:
            network = _under(network, scheme, M, N, keep_real)
        source = model.name if scheme is None else f"{model.name} as {scheme.name}"
        if as_latency:
            _print(show, latency_data(network, times, source), latency_table(network, times, source))
        elif host:
            whole = None if scheme is not None else lambda threads: whole_model(model, sizes, threads)
            _print_host(network, source, show, on_host, whole)
        else:
            counted = count(network, by, stored)
            made = {"csv": as_csv_table, "table": as_brief_table}.get(style, as_table)
            _print(show, as_data(counted, source), made(counted, source))
    if network.uncounted_products and not allow_uncounted:
        first, *others = network.uncounted_products
        more = f" and {len(others)} more" if others else ""
        raise ModelError(f"{model}: the figures leave out {first}{more}; --allow-uncounted accepts them as they are")


def _print_host(
    network: Network, source: str, show: Shown, on_host: HostOptions, whole: Callable[[int], Any] | None
) -> None:
    found = model_for(on_host, planes_of(network))
    if on_host.measure:
        timed = None if whole is None else whole(found.threads)
        compared = compare(found, network, measured_alone(found.threads), timed)
        _print(show, comparison_data(found, compared, source), comparison_table(found, compared, source))
    else:
        _print(show, host_data(found, network, source), host_table(found, network, source))


def _check_combination(
    scheme: Spelled | None,
    M: int | None,
    N: str | None,
    keep_real: tuple[str, ...],
    as_latency: bool,
    as_sweep: bool,
    plot: Path | None,
    times: dict[str, float],
    on_host: HostOptions,
) -> None:
    if scheme is None and (M is not None or N is not None):
        raise UsageError("-M and -N belong to --scheme; a model's own M and N are in its file")
    if scheme is None and keep_real and not as_sweep:
        raise UsageError("--keep-real belongs to --scheme or --sweep")
    if as_sweep and (scheme is not None or as_latency):
        raise UsageError("--sweep goes over M and N of PA; leave out --scheme, -M, -N and --latency")
    if plot is not None and not as_sweep:
        raise UsageError("--plot belongs to --sweep")
    if times and not as_latency:
        raise UsageError("--t-... belong to --latency")
    if on_host.host and as_latency:
        raise UsageError("--latency is Table 8's model, --host is this machine's: give one of them")
    if on_host.measure and as_sweep:
        raise UsageError("--measure belongs to --host of one network; leave out --sweep")


def _under(network: Network, scheme: Spelled, M: int | None, N: str | None, keep_real: tuple[str, ...]) -> Network:
    weights, activations = given_planes(scheme, M, N)
    count_N = activations if isinstance(activations, int) else None
    return under_scheme(
        network,
        scheme.name,
        weights,
        count_N,
        full_activations=activations == FULL,
        digits=scheme.digits,
        keep_real=keep_real,
    )


def _print_sweep(
    network: Network,
    source: str,
    by: Rule,
    stored: Storage,
    keep_real: tuple[str, ...],
    plot: Path | None,
    show: Shown,
    on_host: HostOptions,
) -> None:
    grid = [(M, N) for M in PLANES_M for N in PLANES_N if N is not None]
    host = model_for(on_host, grid) if on_host.host else None
    points = sweep(network, by, stored, keep_real, host)
    if plot is not None:
        plot_sweep(points, plot, source, stored, host)
    _print(show, sweep_data(points, source, by, stored, host), sweep_table(points, source, by, stored, host))


def _print(show: Shown, data: dict[str, Any], table: Table) -> None:
    if show.style == "json":
        click.echo(to_json(data), nl=False)
    else:
        print_explained(table, show.style, show.quiet, show.explain)
