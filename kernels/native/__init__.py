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
    LOW_ZERO,
    MAX_CODE_WINDOW,
    MAX_FOLDED,
    MAX_HALO,
    PIXEL_CHUNK,
    QUAD,
    field_enum,
)
from paconv.kernels.levels import Level
from paconv.kernels.rates import rates_of
from paconv.kernels.registry import CHOICES, KERNELS
from paconv.kernels.tiling import code_tile, tiling
from paconv.ops import DOMAIN, LIBRARY_OPS, OPSET_VERSION
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
    arguments = ", ".join(["int64_t"] * 8)
    tasks = [f"void {kernel_symbol(level, k.name)}(void *, size_t);" for k in KERNELS.values() if not k.variants]
    accumulates = [
        f"void {kernel_symbol(level, k.name, variant)}({arguments});"
        for k in KERNELS.values()
        for variant in k.variants
    ]
    return [*tasks, *accumulates, f"static int runs_{level.symbol}(void) {{ {_support_test(level)} }}"]


def _support_test(level: Level) -> str:
    if not level.needs:
        return "return 1;"
    if level.architecture == "x86_64":
        tests = " && ".join(f'__builtin_cpu_supports("{feature}")' for feature in level.needs)
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
        parts.append(f".tile[{M}][{N}] = {tiling(M, N, level.budget).pixels}")
        parts.append(f".rates.planes[{M}][{N}] = {rates.planes[M, N]:.6g}")
    for variant in KERNELS["accumulate_codes"].variants:
        D = variant[0]
        parts.append(f".accumulate_codes[{D}] = {kernel_symbol(level, 'accumulate_codes', variant)}")
        parts.append(f".code_tile[{D}] = {code_tile(D, level.budget)}")
        parts.append(f".rates.codes[{D}] = {rates.codes[D]:.6g}")
    return "{" + ",\n ".join(parts) + "},\n"


def tables_header() -> str:
    """Text of paconv_tables.h. LIBRARY_OPS share their inputs and attributes."""
    op = LIBRARY_OPS[0]
    limits = {
        "LANES": LANES,
        "WORD_BITS": WORD_BITS,
        "PIXEL_CHUNK": PIXEL_CHUNK,
        "GATHER_RUN": GATHER_RUN,
        "QUAD": QUAD,
        "CODING_HEAD": CODING_HEAD,
        "LOW_ZERO": LOW_ZERO,
        "MAX_CODE_WINDOW": MAX_CODE_WINDOW,
        "MAX_FOLDED": MAX_FOLDED,
        "MAX_HALO": MAX_HALO,
        "MAX_PLANES": MAX_PLANES,
        "MAX_ENDPOINTS": MAX_ENDPOINTS,
        "MAX_WINDOW": MAX_WINDOW,
        "MAX_PAD": MAX_PAD,
    }
    choices = ["CHOICE_" + name.replace("-", "_") for name in CHOICES]
    inputs, attributes = [t.name for t in op.inputs], [a.name for a in op.attributes]
    parts = [
        "/* Generated from paconv/ops and paconv/kernels/arguments.py. */",
        "#pragma once",
        "#include <stdint.h>",
        f'#define LIBRARY_VERSION "{paconv.__version__}"',
        f'#define LIBRARY_INFO "{library_info()}"',
        f"enum {{ LIBRARY_OPSET = {OPSET_VERSION} }};",
        f'#define DOMAIN_NAME "{DOMAIN}"',
        *(f'#define OP_{o.name} "{o.name}"' for o in LIBRARY_OPS),
        f"enum {{ {', '.join(f'{name} = {value}' for name, value in limits.items())} }};",
        f"enum {{ {', '.join(f'INPUT_{name}' for name in inputs)}, INPUT_COUNT }};",
        f"static const char *const INPUT_NAMES[] = {{{_strings(inputs)}}};",
        f"static const int INPUT_TYPES[] = {{{', '.join(str(int(t.dtype)) for t in op.inputs)}}};",
        f"enum {{ {', '.join(f'ATTRIBUTE_{name}' for name in attributes)} }};",
        f"static const char *const ATTRIBUTE_NAMES[] = {{{_strings(attributes)}}};",
        f"static const int ATTRIBUTE_LENGTHS[] = {{{', '.join(str(a.length or 0) for a in op.attributes)}}};",
        f"#define TASKS(T) {' '.join(f'T({k.name})' for k in KERNELS.values() if not k.variants)}",
        f"enum {{ {', '.join(choices)}, CHOICE_COUNT }};",
        f"static const char *const CHOICE_NAMES[] = {{{_strings(list(CHOICES))}}};",
        f"#define EXACT_ERROR {CHOICES['codes'].error!r}",
        field_enum(),
    ]
    return "\n".join(parts)


def _strings(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
