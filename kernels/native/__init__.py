"""The C shim between onnxruntime and the kernels, and the headers that tie it to the rest.

The C sources and `ort.h`, `platform.h` and `rates.h` are written by hand. `tables_header()` derives the op's names,
types and limits from paconv.ops and the argument slots from paconv.kernels.arguments; `levels_header()` lists the
kernels that are linked in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import paconv
from paconv import bits, ops
from paconv.bits import MAX_PLANES, WORD_BITS
from paconv.kernels.arguments import (
    CODING_HEAD,
    GATHER_RUN,
    LANES,
    LEVEL_RUN,
    LOW_ZERO,
    MAX_CODE_WINDOW,
    MAX_FOLDED,
    MAX_HALO,
    MIN_CODE_WINDOW,
    MIN_SPAN,
    PIXEL_CHUNK,
    SPANS,
    field_enum,
)
from paconv.kernels.formats import FORMATS
from paconv.kernels.levels import Level
from paconv.kernels.rates import rates_of
from paconv.kernels.registry import CHOICES, KERNELS
from paconv.kernels.tiling import TILE_ROWS, tile_number
from paconv.ops import DOMAIN, LIBRARY_OPS, OPSET_VERSION, OpSchema
from paconv.ops.pa_bit_conv import MAX_ENDPOINTS, MAX_PAD, MAX_WINDOW

__all__ = ["FOLDER", "SOURCES", "fingerprint", "kernel_symbol", "levels_header", "library_info", "tables_header"]

FOLDER = Path(__file__).resolve().parent
SOURCES = tuple(sorted(FOLDER.glob("*.c")))
"""The C sources of a library."""


@cache
def fingerprint() -> str:
    """Of everything a library is made from: kernels, shim, ops and bit order. A library of other sources is refused."""
    folders = (FOLDER.parent, FOLDER, Path(ops.__file__).resolve().parent)
    sources = [p for folder in folders for pattern in ("*.py", "*.c", "*.h") for p in sorted(folder.glob(pattern))]
    digest = hashlib.sha256()
    for source in (*sources, Path(bits.__file__)):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def library_info() -> str:
    """What paconv_library_info() of a library of these sources says: version, opset, fingerprint."""
    return f"{paconv.__version__} {OPSET_VERSION} {fingerprint()}"


def kernel_symbol(level: Level, name: str, variant: tuple[int, int] = (0, 0)) -> str:
    """C name of a linked kernel."""
    suffix = f"_{variant[0]}_{variant[1]}" if KERNELS[name].variants else ""
    return f"paconv_{level.symbol}_{name}{suffix}"


def levels_header(levels: Sequence[Level]) -> str:
    """Text of paconv_levels.h for a library with these levels, lowest first; none for a library to install into."""
    lines = [
        "/* Generated from paconv/kernels/levels.py. */",
        f"enum {{ LEVEL_COUNT = {len(levels)} }};",
        *(line for level in levels for line in _declarations(level)),
        f"static const Level levels[LEVEL_COUNT + 1] = {{{''.join(_entry(level) for level in levels)} {{0}}}};",
    ]
    return "\n".join(lines) + "\n"


def _declarations(level: Level) -> list[str]:
    tasks = [f"void {kernel_symbol(level, k.name)}(void *, size_t);" for k in KERNELS.values() if not k.variants]
    accumulates = [
        f"void {kernel_symbol(level, k.name, variant)}(void);"
        for k in KERNELS.values()
        for variant in k.variants_at(level)
    ]
    return [*tasks, *accumulates, f"static int runs_{level.symbol}(void) {{ {_support_test(level)} }}"]


def _support_test(level: Level) -> str:
    if not level.needs:
        return "return 1;"
    if level.architecture == "x86_64":
        tests = " && ".join(
            "amx_int8_permitted()" if feature == "amx-int8" else f'__builtin_cpu_supports("{feature}")'
            for feature in level.needs
        )
        return f"__builtin_cpu_init(); return {tests};"
    tests = " && ".join(f"HAS_ARM({feature})" for feature in level.needs)
    return f"return {tests};"


def _entry(level: Level) -> str:
    """Initializer of a Level."""
    rates = rates_of(level)
    parts = [f'.name = "{level.name}", .supported = runs_{level.symbol}']
    for kernel in KERNELS.values():
        if not kernel.variants:
            parts.append(f".{kernel.name} = {kernel_symbol(level, kernel.name)}")
    for M, N in KERNELS["accumulate"].variants:
        parts.append(f".accumulate[{M}][{N}] = {kernel_symbol(level, 'accumulate', (M, N))}")
        parts.append(f".tile[{M}][{N}] = {tile_number('accumulate', (M, N), level)}")
        parts.append(f".rates.planes[{M}][{N}] = {rates.planes[M, N]:.6g}")
    for variant in KERNELS["accumulate_codes"].variants_at(level):
        at = f"[{variant[0]}]"
        parts.append(f".accumulate_codes{at} = {kernel_symbol(level, 'accumulate_codes', variant)}")
        parts.append(f".code_tile{at} = {tile_number('accumulate_codes', variant, level)}")
        parts.append(f".rates.codes{at} = {rates.codes[variant[0]]:.6g}")
    return "{" + ",\n ".join(parts) + "},\n"


def tables_header() -> str:
    """Text of paconv_tables.h."""
    limits = {
        "LANES": LANES,
        "WORD_BITS": WORD_BITS,
        "PIXEL_CHUNK": PIXEL_CHUNK,
        "GATHER_RUN": GATHER_RUN,
        "LEVEL_RUN": LEVEL_RUN,
        "MIN_SPAN": MIN_SPAN,
        "SPANS": SPANS,
        "TILE_ROWS": TILE_ROWS,
        "CODING_HEAD": CODING_HEAD,
        "LOW_ZERO": LOW_ZERO,
        "MAX_CODE_WINDOW": MAX_CODE_WINDOW,
        "MIN_CODE_WINDOW": MIN_CODE_WINDOW,
        "MAX_FOLDED": MAX_FOLDED,
        "MAX_HALO": MAX_HALO,
        "MAX_PLANES": MAX_PLANES,
        "MAX_ENDPOINTS": MAX_ENDPOINTS,
        "MAX_WINDOW": MAX_WINDOW,
        "MAX_PAD": MAX_PAD,
    }
    choices = ["CHOICE_" + name.replace("-", "_") for name in CHOICES]
    attributes = {a.name: a.length or 0 for op in LIBRARY_OPS for a in op.attributes if not a.strings}
    parts = [
        "/* Generated from paconv/ops and paconv/kernels/arguments.py. */",
        "#pragma once",
        "#include <stdint.h>",
        f'#define LIBRARY_VERSION "{paconv.__version__}"',
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
        f"#define TASKS(T) {' '.join(f'T({k.name})' for k in KERNELS.values() if not k.variants)}",
        f"enum {{ {', '.join(choices)}, CHOICE_COUNT }};",
        f"static const char *const CHOICE_NAMES[] = {{{_strings(list(CHOICES))}}};",
        f"enum {{ FORMAT_planes, {', '.join(f'{_format_symbol(name)} = {f.number}' for name, f in FORMATS.items())}, "
        "FORMAT_COUNT };",
        "static const char *const FORMAT_NAMES[] = {" + _strings(["planes", *FORMATS]) + "};",
        f"static const int FORMAT_DIGITS[] = {{0, {', '.join(str(f.D) for f in FORMATS.values())}}};",
        f"static const int FORMAT_DIGIT_BITS[] = {{0, {', '.join(str(f.digit_bits) for f in FORMATS.values())}}};",
        f"#define EXACT_ERROR {CHOICES['codes'].error!r}",
        field_enum(),
    ]
    return "\n".join(parts)


def _op_table(op: OpSchema) -> str:
    """Initializer of an OpTable."""
    inputs, outputs = (", ".join(str(int(t.dtype)) for t in tensors) for tensors in (op.inputs, op.outputs))
    names = _strings([t.name for t in op.inputs])
    return f'{{"{op.name}", {len(op.inputs)}, {{{names}}}, {{{inputs}}}, {len(op.outputs)}, {{{outputs}}}}}'


def _format_symbol(name: str) -> str:
    return "FORMAT_" + name.replace("-", "_")


def _strings(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
