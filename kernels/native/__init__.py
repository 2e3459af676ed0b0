"""The C shim between onnxruntime and the kernels, and the headers that tie it to the rest.

The C sources and `ort.h`, `platform.h` and `rates.h` are written by hand. `tables_header()` derives the op's names,
types and limits from paconv.ops and the argument slots from paconv.kernels.arguments; `cpus_header()` lists the
kernels that are linked in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from paconv import bits, ops
from paconv._version import __version__
from paconv.bits import MAX_PLANES, WORD_BITS
from paconv.kernels import arguments
from paconv.kernels.arguments import CODING_SLOTS, FIELDS, slot_enum
from paconv.kernels.blocking import TILE_ROWS, blocking
from paconv.kernels.cpus import Cpu
from paconv.kernels.rates import rates_of
from paconv.kernels.registry import (
    CHOICES,
    FAMILIES,
    KERNELS,
    KINDS,
    Microkernel,
    kind_number,
    microkernel_home,
    microkernels,
    plane_pairs,
    task_home,
)
from paconv.ops import DOMAIN, LIBRARY_OPS, OPSET_VERSION, OpSchema
from paconv.ops.pa_bit_conv import MAX_ENDPOINTS, MAX_PAD, MAX_WINDOW

__all__ = [
    "FOLDER", "SOURCES", "cpus_header", "fingerprint", "library_info", "microkernel_symbol", "tables_header",
    "task_symbol",
]  # fmt: skip

FOLDER = Path(__file__).resolve().parent
SOURCES = tuple(sorted(FOLDER.glob("*.c")))
"""The C sources of a library."""


@cache
def fingerprint() -> str:
    """Of everything a library is made from: kernels, shim, ops and bit order. A library of other sources is refused."""
    folders = FOLDER.parent, Path(ops.__file__).resolve().parent
    named = [(path.relative_to(folder), path) for folder in folders for path in sorted(folder.rglob("*"))]
    digest = hashlib.sha256()
    for name, source in (*named, (Path("bits.py"), Path(bits.__file__))):
        if source.suffix in (".py", ".c", ".h"):
            digest.update(name.as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def library_info() -> str:
    """What paconv_library_info() of a library of these sources says: version, opset, fingerprint."""
    return f"{__version__} {OPSET_VERSION} {fingerprint()}"


def task_symbol(cpu: Cpu, name: str) -> str:
    """C name of the linked task that a CPU runs."""
    home = task_home(cpu, name)
    return f"paconv_{home.symbol}_{name}" if home else f"paconv_{name}"


def microkernel_symbol(cpu: Cpu, microkernel: Microkernel) -> str:
    """C name of the linked microkernel that a CPU runs."""
    first, second = microkernel.variant
    return f"paconv_{microkernel_home(cpu, microkernel).symbol}_{microkernel.name}_{first}_{second}"


def cpus_header(cpus: Sequence[Cpu]) -> str:
    """Text of paconv_cpus.h for a library with these CPUs, lowest first; none for a library to install into."""
    lines = [
        "/* Generated from paconv/kernels/cpus.py. */",
        f"enum {{ LINKED_CPUS = {len(cpus)} }};",
        *(line for cpu in cpus for line in _declarations(cpu)),
        f"static const Cpu cpus[LINKED_CPUS + 1] = {{{''.join(_entry(cpu) for cpu in cpus)} {{0}}}};",
    ]
    return "\n".join(lines) + "\n"


def _declarations(cpu: Cpu) -> list[str]:
    tasks = [f"void {task_symbol(cpu, name)}(void *, size_t);" for name in KERNELS]
    emitted = [f"void {microkernel_symbol(cpu, each)}(void);" for each in microkernels(cpu)]
    return [*tasks, *emitted, f"static int runs_{cpu.symbol}(void) {{ {_support_test(cpu)} }}"]


def _support_test(cpu: Cpu) -> str:
    if not cpu.needs:
        return "return 1;"
    if cpu.architecture == "x86_64":
        tests = " && ".join(
            "amx_int8_permitted()" if feature == "amx-int8" else f'__builtin_cpu_supports("{feature}")'
            for feature in cpu.needs
        )
        return f"__builtin_cpu_init(); return {tests};"
    tests = " && ".join(f"HAS_ARM({feature})" for feature in cpu.needs)
    return f"return {tests};"


def _entry(cpu: Cpu) -> str:
    """Initializer of a Cpu."""
    rates = rates_of(cpu)
    parts = [f'.name = "{cpu.name}", .supported = runs_{cpu.symbol}, .signed_codes = {int(cpu.signed_codes)}']
    parts += [f".{name} = {task_symbol(cpu, name)}" for name in KERNELS]
    for M, N in plane_pairs():
        plan = blocking(M, N, cpu.budget)
        parts.append(f".blockings[{M}][{N}] = {{{plan.pixels}, {plan.parts_M}, {plan.parts_N}}}")
        parts.append(f".rates.planes[{M}][{N}] = {rates.planes[M, N]:.6g}")
    for each in microkernels(cpu):
        first, second = each.variant
        parts.append(f".{each.name}[{first}][{second}] = {microkernel_symbol(cpu, each)}")
    for kind, multiplier in cpu.multipliers.items():
        number = kind_number(kind)
        parts.append(f".multipliers[{number}] = {{{multiplier.pixels}, {multiplier.blocks}, {multiplier.words}}}")
        parts.append(f".rates.codes[{number}] = {rates.codes[kind]:.6g}")
    return "{" + ",\n ".join(parts) + "},\n"


def tables_header() -> str:
    """Text of paconv_tables.h."""
    limits = {name: value for name, value in vars(arguments).items() if name.isupper() and isinstance(value, int)}
    limits |= {"WORD_BITS": WORD_BITS, "TILE_ROWS": TILE_ROWS, "MAX_PLANES": MAX_PLANES, "MAX_ENDPOINTS": MAX_ENDPOINTS}
    limits |= {"MAX_WINDOW": MAX_WINDOW, "MAX_PAD": MAX_PAD}
    choices = ["CHOICE_" + name.replace("-", "_") for name in CHOICES]
    attributes = {a.name: a.length or 0 for op in LIBRARY_OPS for a in op.attributes if not a.strings}
    parts = [
        "/* Generated from paconv/ops and paconv/kernels/arguments.py. */",
        "#pragma once",
        "#include <stdint.h>",
        f'#define LIBRARY_VERSION "{__version__}"',
        f'#define LIBRARY_INFO "{library_info()}"',
        f"enum {{ LIBRARY_OPSET = {OPSET_VERSION} }};",
        f'#define DOMAIN_NAME "{DOMAIN}"',
        f"enum {{ {', '.join(f'{name} = {value}' for name, value in limits.items())} }};",
        f"enum {{ {', '.join(f'OP_{op.name}' for op in LIBRARY_OPS)}, OP_COUNT }};",
        "typedef struct { const char *name; int input_count; const char *input_names[16]; int input_types[16];"
        " int output_count; int output_types[4]; } OpTable;",
        f"static const OpTable OP_TABLES[OP_COUNT] = {{{', '.join(map(_op_table, LIBRARY_OPS))}}};",
        f"enum {{ {', '.join(f'ATTRIBUTE_{name}' for name in attributes)} }};",
        f"static const char *const ATTRIBUTE_NAMES[] = {{{_strings(list(attributes))}}};",
        f"static const int ATTRIBUTE_LENGTHS[] = {{{', '.join(map(str, attributes.values()))}}};",
        f"#define TASKS(T) {' '.join(f'T({k.name})' for k in KERNELS.values())}",
        f"#define MICROKERNELS(T) {' '.join('T({}, {}, {})'.format(f.name, *f.table) for f in FAMILIES.values())}",
        f"enum {{ {', '.join(choices)}, CHOICE_COUNT }};",
        f"static const char *const CHOICE_NAMES[] = {{{_strings(list(CHOICES))}}};",
        f"enum {{ KIND_planes, {', '.join(f'KIND_{kind}' for kind in KINDS)}, KIND_COUNT }};",
        "static const char *const KIND_NAMES[] = {" + _strings(["planes", *KINDS]) + "};",
        slot_enum("F", FIELDS),
        slot_enum("CODING", CODING_SLOTS),
    ]
    return "\n".join(parts)


def _op_table(op: OpSchema) -> str:
    """Initializer of an OpTable."""
    inputs, outputs = (", ".join(str(int(t.dtype)) for t in tensors) for tensors in (op.inputs, op.outputs))
    names = _strings([t.name for t in op.inputs])
    return f'{{"{op.name}", {len(op.inputs)}, {{{names}}}, {{{inputs}}}, {len(op.outputs)}, {{{outputs}}}}}'


def _strings(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
