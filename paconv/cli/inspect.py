"""`paconv inspect`: which kernel each layer of a packed model runs here, and why."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import click

from paconv.cli.console import print_tables, progress_bar
from paconv.cli.output import TABLES, Choice, output_options
from paconv.errors import ModelError, UsageError
from paconv.kernels.registry import CHOICES
from paconv.onnx_file.graph_view import inner_nodes
from paconv.onnx_file.loading import load_model
from paconv.onnx_file.metadata import provenance
from paconv.ops import DOMAIN
from paconv.pipeline import FLOAT_FILE
from paconv.reporting.tables import Column, Table
from paconv.runtime.inspection import node_kernels
from paconv.runtime.library import active_cpu
from paconv.runtime.measure_rates import measure_rates
from paconv.runtime.rates import rates_path, store_rates

__all__ = ["inspect"]


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--kernel", type=Choice(["auto", *CHOICES]), help="As if a session forced this kernel.")
@click.option("--measure", is_flag=True, help="First measure this machine's rates (a second) and keep them.")
@output_options(TABLES)
def inspect(model: Path, kernel: str | None, measure: bool, style: str, quiet: bool) -> None:
    """Show which kernel each PABitConv and PALevelConv of MODEL runs on this machine, and why.

    The choice is made by rates: those measured here (--measure keeps them in a file for each CPU), or else those that
    the library ships. The same rates give the same choice. A session forces a kernel with its configuration entry
    "paconv.kernel", every session of a process with PACONV_KERNEL.

    planes: AND and popcount of bit planes; time grows with M*N.

    codes: integer dot products of level codes, a byte each, where levels are on a grid; time independent of M and N,
    and the same outputs bit for bit.

    \b
    Examples:
      paconv inspect pa.onnx
      paconv inspect pa.onnx --measure --format json
    """
    whole = load_model(model)
    loaded, made_from = whole.graph.node, provenance(whole)
    nodes = [*loaded, *inner_nodes(loaded)]
    if not any(node.op_type in ("PABitConv", "PALevelConv") for node in nodes):
        exported = any(node.domain == DOMAIN for node in nodes)
        way = "`paconv optimize` makes them of it" if exported else FLOAT_FILE
        raise ModelError(f"{model}: expected a packed model; found no PABitConv: {way}")
    cpu = active_cpu()
    if measure:
        if cpu == "jit":
            raise UsageError("--measure measures the library's kernels; unset PACONV_JIT")
        with progress_bar("measuring rates") as update:
            store_rates(measure_rates(cpu, progress=lambda done, total: update("measuring rates", done, total)))
    nodes = node_kernels(str(model), kernel)
    path = rates_path(cpu)
    source = str(path) if path.exists() else "the library's own (--measure measures this machine's)"
    if style == "json":
        found = {"level": cpu, "rates": source, "provenance": made_from, "nodes": [vars(n) for n in nodes]}
        click.echo(json.dumps(found, indent=2))
        return
    columns = [
        Column(name, name, left=True, folds=name in ("node", "why")) for name in ("node", "kernel", "kind", "why")
    ]
    columns += [Column(name, f"{name} ns", read="{:.2f}".format) for name in ("planes", "codes")]
    rows = [
        {
            "node": n.node,
            "kernel": n.kernel,
            "kind": "-" if n.kernel == "planes" else n.kind,
            "why": n.reason,
            "planes": n.planes_rate,
            "codes": n.codes_rate or None,
        }
        for n in nodes
    ]
    numbers = Counter(n.kernel for n in nodes)
    line = f"{len(nodes)} layers: {', '.join(f'{number} run {kernel}' for kernel, number in numbers.items())}"
    notes: tuple[str, ...] = (
        line,
        "ns: of the inner loop, for one pixel, 16 output channels and one window position",
        f"rates: {source}",
    )
    if made_from:
        notes += ("provenance: " + ", ".join(f"{name} {value}" for name, value in made_from.items()),)
    title = f"{model.name} by the kernels for {cpu}"
    print_tables([Table(title, columns, rows, notes=notes, line=line)], style, quiet)
