"""The C shim between onnxruntime and the kernels, and the header that ties it to the rest.

`shim.c` and `ort.h` are written by hand; `tables_header()` derives the op's names, types and limits from paconv.ops
and the argument slots from paconv.kernels.arguments.
"""

from __future__ import annotations

from pathlib import Path

from paconv.bits import MAX_PLANES, WORD_BITS
from paconv.kernels.arguments import LANES, PIXEL_CHUNK, field_enum
from paconv.ops import DOMAIN, LIBRARY_OPS
from paconv.ops.pa_bit_conv import MAX_ENDPOINTS, MAX_PAD, MAX_WINDOW

__all__ = ["FOLDER", "SOURCES", "tables_header"]

FOLDER = Path(__file__).resolve().parent
SOURCES = ("shim.c", "ort.h")


def tables_header() -> str:
    """Text of paconv_tables.h. LIBRARY_OPS share their inputs and attributes."""
    op = LIBRARY_OPS[0]
    limits = {
        "LANES": LANES,
        "WORD_BITS": WORD_BITS,
        "PIXEL_CHUNK": PIXEL_CHUNK,
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
