"""The command line of the attacks: what it ran and found, exit code 1 where it found a fault."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from tests.fuzz.watched import Outcome, watch

MEMORY = 4 << 30
KINDS = ("files", "networks", "commands", "stops")
SECONDS = {"stops": 3600.0}
"""Of a case: one of those is several commands, each of which has its own limit."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="The first case's number.")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="At most.")
    parser.add_argument("--memory", choices=("plain", "fenced", "sanitized"), default="plain", help="Of files.")
    arguments = parser.parse_args()
    if arguments.memory != "plain" and "FUZZ_RESTARTED" not in os.environ:
        return restart(arguments.memory)
    work: Callable[[int, int], Outcome] = import_module(f"tests.fuzz.{arguments.kind}").work
    cases = range(arguments.first, arguments.first + arguments.count)
    tally = watch(
        partial(work, arguments.seed), cases, seconds=SECONDS.get(arguments.kind, 300.0),
        until=time.monotonic() + 60 * arguments.minutes,
        memory=None if arguments.memory == "sanitized" else MEMORY, say=lambda line: print(line, flush=True),
    )  # fmt: skip
    print(f"{arguments.kind}, seed {arguments.seed}, {arguments.memory} memory: {tally}", flush=True)
    return int(bool(tally.findings))


def restart(memory: str) -> int:
    """The same in a process with other memory: the exit code."""
    from tests.fuzz import shims

    with tempfile.TemporaryDirectory() as folder:
        variables = getattr(shims, memory)(Path(folder)) | {"FUZZ_RESTARTED": "1"}
        command = [sys.executable, "-m", "tests.fuzz", *sys.argv[1:]]
        return subprocess.run(command, env=os.environ | variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
