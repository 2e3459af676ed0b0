"""`paconv build-library`: build the custom-op library, for this machine or another."""

from __future__ import annotations

from pathlib import Path

import click

from paconv.cli.console import progress_bar
from paconv.kernels.levels import levels_of
from paconv.library_build.build import build_library as build
from paconv.library_build.targets import TARGETS, find_target, host_target
from paconv.runtime.library import BUILT

__all__ = ["build_library"]


@click.command("build-library")
@click.option("--target", type=click.Choice(list(TARGETS)), help="Platform to build for.  [default: this one]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write.  [default: the package's own library; libpaconv-TARGET beside you for another platform]",
)
def build_library(target: str | None, output: Path | None) -> None:
    """Build the custom-op library: Numba kernels as native code for every CPU level, linked into one shared library.

    Needs Numba (pip install "paconv[build]") and a C compiler for the target: gcc, or aarch64-linux-gnu-gcc (Debian:
    gcc-aarch64-linux-gnu) for aarch64-linux. What it makes needs neither.

    \b
    Example:
      paconv build-library
      paconv build-library --target aarch64-linux -o libpaconv.so
    """
    chosen = find_target(target) if target else host_target()
    default = BUILT if chosen == host_target() else Path(f"libpaconv-{chosen.name}{chosen.suffix}")
    output = output or default
    names = [level.name for level in levels_of(chosen.architecture)]
    with progress_bar(f"kernels for {chosen.name}") as update:
        build(chosen, output, progress=lambda level: update(level, names.index(level) + 1, len(names)))
    click.echo(f"{output}: {output.stat().st_size:,} bytes, kernels for {', '.join(names)}")
