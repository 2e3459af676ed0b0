"""The options --t-and, --t-xnor, ...: delays of single operations.

`cost --latency` and `paper-tables` share them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import click

from paconv.cost.latency import OPERATIONS

__all__ = ["delay_options", "given_delays"]


class _Delay(click.ParamType):
    """A finite number above 0."""

    name = "delay"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            delay = float(value)
        except (TypeError, ValueError):
            delay = nan
        if not 0 < delay < inf:
            self.fail(f"expected a finite number above 0; found {value!r}", param, ctx)
        return delay


def delay_options(command: Callable) -> Callable:
    """Add an option for each operation of Table 8."""
    for op in reversed(OPERATIONS):
        text = f"Delay of one {op} operation, in the unit of the others; a symbol if not given."
        command = click.option(f"--t-{op.lower()}", f"t_{op}", type=_Delay(), help=text)(command)
    return command


def given_delays(options: dict[str, Any]) -> dict[str, float]:
    """Operation -> time, of the options that were given."""
    return {op: options[f"t_{op}"] for op in OPERATIONS if options[f"t_{op}"] is not None}
