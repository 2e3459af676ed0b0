"""Machine code of a library, read from objdump: functions, their loops, and what goes to the stack."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Instruction", "disassemble", "inner_loops", "vector_spills", "working_loops"]

_FUNCTION = re.compile(r"[0-9a-f]+ <(.+)>:$")
_LINE = re.compile(r"\s+([0-9a-f]+):\s+(\S+)\s*(.*)")
_JUMP = re.compile(r"(?:j|b\.|cbn?z|tbn?z|b$)")
_TARGET = re.compile(r"(?:^|\s|,)([0-9a-f]+) <")
_STACK = re.compile(r"\(%rsp|\[sp\b")
_VECTOR = re.compile(r"%[xyz]mm|\b[qv]\d")

_WORK = {
    "planes": ("cnt", "pshufb", "vpshufb", "vpopcntb", "vpopcntd"),
    "dot": ("vpdpbusd", "sdot"),
    "tiles": ("tdpbusd",),
    "narrow": ("pmaddubsw", "vpmaddubsw", "smlal", "smlal2", "mla"),
    "wide": ("pmaddwd", "vpmaddwd"),
    "floats": ("mulps", "vmulps", "fmul"),
}


@dataclass(frozen=True)
class Instruction:
    """address; name; operands, as objdump writes them."""

    address: int
    name: str
    operands: str


def disassemble(library: Path, prefix: str, objdump: str = "objdump") -> dict[str, list[Instruction]]:
    """The functions of `library` whose names begin with `prefix`: name -> instructions."""
    command = [objdump, "-d", "--no-show-raw-insn", str(library)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    functions, current = {}, None
    for line in text.splitlines():
        if title := _FUNCTION.match(line):
            current = functions.setdefault(title[1], []) if title[1].startswith(prefix) else None
        elif current is not None and (found := _LINE.match(line)):
            current.append(Instruction(int(found[1], 16), found[2], found[3]))
    return functions


def inner_loops(function: list[Instruction]) -> list[list[Instruction]]:
    """What lies between a jump backwards and its target, where no other such pair lies within."""
    index = {instruction.address: k for k, instruction in enumerate(function)}
    loops = []
    for end, instruction in enumerate(function):
        target = _TARGET.search(instruction.operands) if _JUMP.match(instruction.name) else None
        start = index.get(int(target[1], 16)) if target else None
        if start is not None and start <= end:
            loops.append((start, end))
    inner = [a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    return [function[start : end + 1] for start, end in inner]


def vector_spills(loop: list[Instruction]) -> list[Instruction]:
    """Instructions that move a vector register to the stack or use one from there."""
    return [i for i in loop if _STACK.search(i.operands) and _VECTOR.search(i.operands)]


def working_loops(function: list[Instruction], kind: str) -> list[list[Instruction]]:
    """The inner loops that count bits ("planes"), or multiply: level codes with a kind of products, or "floats"."""
    return [loop for loop in inner_loops(function) if any(i.name in _WORK[kind] for i in loop)]
