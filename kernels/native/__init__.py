"""The C shim between onnxruntime and the kernels, and the headers that tie it to the rest.

`shim.c` and `ort.h` are written by hand. `tables_header()` derives the op's names, types and limits from paconv.ops
and the argument slots from paconv.kernels.arguments; `levels_header()` lists the kernels that are linked in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import paconv
from paconv import bits, ops
from paconv.bits import MAX_PLANES, WORD_BITS
from paconv.kernels.arguments import GATHER_RUN, LANES, PIXEL_CHUNK, field_enum
from paconv.kernels.levels import Level
from paconv.kernels.registry import KERNELS, plane_pairs
from paconv.kernels.tiling import tiling
from paconv.ops import DOMAIN, LIBRARY_OPS, OPSET_VERSION
from paconv.ops.pa_bit_conv import MAX_ENDPOINTS, MAX_PAD, MAX_WINDOW

__all__ = ["FOLDER", "SHIM", "fingerprint", "kernel_symbol", "levels_header", "library_info", "tables_header"]

FOLDER = Path(__file__).resolve().parent
SHIM = FOLDER / "shim.c"


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


def kernel_symbol(level: Level, name: str, M: int = 0, N: int = 0) -> str:
    """C name of a linked kernel."""
    planes = f"_{M}_{N}" if KERNELS[name].per_planes else ""
    return f"paconv_{level.symbol}_{name}{planes}"


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
    arguments = ", ".join(["int64_t"] * 7)
    tasks = [f"void {kernel_symbol(level, k.name)}(void *, size_t);" for k in KERNELS.values() if not k.per_planes]
    planes = [f"void {kernel_symbol(level, 'accumulate', M, N)}({arguments});" for M, N in plane_pairs()]
    return [*tasks, *planes, f"static int runs_{level.symbol}(void) {{ {_support_test(level)} }}"]


def _support_test(level: Level) -> str:
    if not level.needs:
        return "return 1;"
    if level.architecture == "x86_64":
        tests = " && ".join(f'__builtin_cpu_supports("{feature}")' for feature in level.needs)
        return f"__builtin_cpu_init(); return {tests};"
    tests = " && ".join(f"HAS_ARM({feature})" for feature in level.needs)
    return f"return {tests};"


def _entry(level: Level) -> str:
    rows, tiles = [], []
    for M in range(1, MAX_PLANES + 1):
        names = (kernel_symbol(level, "accumulate", M, N) for N in range(1, MAX_PLANES + 1))
        sizes = (str(tiling(M, N, level.budget).pixels) for N in range(1, MAX_PLANES + 1))
        rows.append(f"{{0, {', '.join(names)}}}")
        tiles.append(f"{{0, {', '.join(sizes)}}}")
    tasks = ", ".join(kernel_symbol(level, n) for n in ("prepare_weights", "gather", "conv", "counts"))
    return (
        f'{{"{level.name}", runs_{level.symbol}, {tasks},\n {{{{0}}, {", ".join(rows)}}},\n '
        f"{{{{0}}, {', '.join(tiles)}}}}},\n"
    )


def tables_header() -> str:
    """Text of paconv_tables.h. LIBRARY_OPS share their inputs and attributes."""
    op = LIBRARY_OPS[0]
    limits = {
        "LANES": LANES,
        "WORD_BITS": WORD_BITS,
        "PIXEL_CHUNK": PIXEL_CHUNK,
        "GATHER_RUN": GATHER_RUN,
        "MAX_PLANES": MAX_PLANES,
        "MAX_ENDPOINTS": MAX_ENDPOINTS,
        "MAX_WINDOW": MAX_WINDOW,
        "MAX_PAD": MAX_PAD,
    }
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
        field_enum(),
    ]
    return "\n".join(parts)


def _strings(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
