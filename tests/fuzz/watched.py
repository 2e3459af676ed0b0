"""Numbered cases in a child process: one that crashes or hangs is a finding, and the rest go on in a fresh child."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Outcome", "Tally", "watch"]

BLOCK = 2000
"""Cases of one child: its memory is given back after them."""


@dataclass
class Outcome:
    """What a case showed. counts: name -> number; findings: faults, in words."""

    counts: Counter = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


@dataclass
class Tally(Outcome):
    """Of many cases. cases: how many were gone through."""

    cases: int = 0

    def __str__(self) -> str:
        parts = [f"{self.cases:,} cases", *(f"{name} {n:,}" for name, n in sorted(self.counts.items()))]
        return ", ".join(parts) + f"; {len(self.findings)} findings"


def watch(
    work: Callable[[int], Outcome],
    cases: range,
    *,
    seconds: float = 60.0,
    memory: int | None = 4 << 30,
    until: float = float("inf"),
    say: Callable[[str], None] = lambda line: None,
) -> Tally:
    """Do `work` for each of `cases`, until the monotonic clock passes `until`.

    seconds: that a case may take; memory: bytes of data that the child may have, None for no limit; say: told of each
    finding.
    The caller must not have opened sessions, whose threads a fork would lose.
    """
    tally, at = Tally(), cases.start
    while at < cases.stop and time.monotonic() < until:
        block = range(at, min(at + BLOCK, cases.stop))
        pid, output = _start(work, block, memory)
        begun, fault = _listen(output, tally, at - 1, seconds, until, say)
        if fault:
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        if not fault and os.WIFSIGNALED(status):
            fault = f"CRASH by signal {os.WTERMSIG(status)}"
        elif not fault and os.WEXITSTATUS(status):
            fault = f"the child ended with exit code {os.WEXITSTATUS(status)}"
        if fault and time.monotonic() < until:
            tally.findings.append(f"case {begun}: {fault}")
            say(tally.findings[-1])
            tally.cases += 1
        at = begun + 1
    return tally


def _start(work: Callable[[int], Outcome], block: Iterable[int], memory: int | None) -> tuple[int, int]:
    """A child that does the work and writes JSON lines: [index] when it begins, [counts, findings] when it is done."""
    output, write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, output
    code = 1
    try:
        os.close(output)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        if "FUZZ_LOG" not in os.environ:  # what onnxruntime says of bad files
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1), os.dup2(null, 2)
        _go_through(work, block, write)
        code = 0
    finally:
        os._exit(code)


def _go_through(work: Callable[[int], Outcome], block: Iterable[int], write: int) -> None:
    for index in block:
        os.write(write, json.dumps([index]).encode() + b"\n")
        try:
            outcome = work(index)
        except Exception as error:  # paconv let it through, or a case is wrong: either is a fault
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            outcome = Outcome(findings=[f"RAISED {type(error).__name__}: {error} ({where})"])
        os.write(write, json.dumps([dict(outcome.counts), outcome.findings]).encode() + b"\n")


def _listen(
    output: int, tally: Tally, begun: int, seconds: float, until: float, say: Callable[[str], None]
) -> tuple[int, str]:
    """(the last case that began, "" or why the child has to be ended). Closes `output`."""
    rest = b""
    try:
        while time.monotonic() < until:
            if not select.select([output], [], [], seconds)[0]:
                return begun, f"HANG, more than {seconds:g} s"
            piece = os.read(output, 1 << 16)
            if not piece:
                return begun, ""
            *lines, rest = (rest + piece).split(b"\n")
            for line in map(json.loads, lines):
                if len(line) == 1:
                    begun = line[0]
                else:
                    tally.cases += 1
                    tally.counts.update(line[0])
                    for text in line[1]:
                        tally.findings.append(f"case {begun}: {text}")
                        say(tally.findings[-1])
        return begun, "the time is over"
    finally:
        os.close(output)
