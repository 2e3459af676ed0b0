"""`paconv build-library`: build the custom-op library, for this machine or another."""

from __future__ import annotations

from pathlib import Path

import click

from paconv.cli.console import progress_bar
from paconv.cli.output import TEXT, Choice, output_options
from paconv.library_build.build import build_library as build
from paconv.library_build.build import chosen_cpus, is_current
from paconv.library_build.targets import BUILT, TARGETS, find_target, host_target
from paconv.reporting.tables import to_json

__all__ = ["build_library"]


@click.command("build-library")
@click.option(
    "--target",
    type=Choice(list(TARGETS)),
    metavar="PLATFORM",
    help=f"Platform to build for: {', '.join(TARGETS)}.  [default: this one]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write.  [default: the package's own library; libpaconv-TARGET beside you for another platform]",
)
@click.option("--cpu", "names", multiple=True, metavar="NAME", help="A CPU to build for, or host.  [default: all]")
@output_options(TEXT)
@click.option("--if-stale", is_flag=True, help="Only if there is none of the present sources for these CPUs.")
def build_library(
    target: str | None, output: Path | None, names: tuple[str, ...], if_stale: bool, style: str, quiet: bool
) -> None:
    """Build the custom-op library: kernels as native code for every CPU, linked into one shared library.

    It takes about a minute of processor time for all CPUs of x86-64, half of that for `--cpu host` alone. Needs Numba
    (pip install "paconv[build]") and a C compiler for the target: gcc, or aarch64-linux-gnu-gcc (Debian:
    gcc-aarch64-linux-gnu) for aarch64-linux. What it makes needs neither.

    \b
    Example:
      paconv build-library
      paconv build-library --cpu host
      paconv build-library --target aarch64-linux -o libpaconv.so
    """
    chosen = find_target(target) if target else host_target()
    default = BUILT if chosen == host_target() else Path(f"libpaconv-{chosen.name}{chosen.suffix}")
    output = output or default
    cpus = chosen_cpus(chosen, names)
    if if_stale and is_current(output, cpus):
        return
    done: list[str] = []
    with progress_bar(f"kernels for {chosen.name}") as update:

        def progress(name: str) -> None:
            done.append(name)
            update(name, len(done), len(cpus))

        build(chosen, output, progress, cpus)
    size, kernels = output.stat().st_size, [cpu.name for cpu in cpus]
    if style == "json":
        click.echo(to_json({"output": str(output), "target": chosen.name, "bytes": size, "cpus": kernels}), nl=False)
    else:
        click.echo(f"{output}: {size:,} bytes" + ("" if quiet else f", kernels for {', '.join(kernels)}"))
