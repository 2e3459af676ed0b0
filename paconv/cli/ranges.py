"""Ranges of numbers on the command line: what the libraries behind an option can take."""

from __future__ import annotations

import click

__all__ = ["BATCH", "EPOCHS", "INT32", "MOST_THREADS", "SEED", "THREADS", "WORKERS"]

MOST_THREADS = 1024
"""Of one pool: a system refuses more, or has no memory for them."""

THREADS = click.IntRange(1, MOST_THREADS)

WORKERS = click.IntRange(max=MOST_THREADS)

EPOCHS = click.IntRange(max=10**6)
"""More would never end."""

INT32 = 2**31 - 1

BATCH = click.IntRange(1, INT32)

SEED = click.IntRange(0, 2**63 - 1)
"""torch's seeds have 64 bits."""
