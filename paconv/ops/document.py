"""docs/ops.md, from the op schemas and the algebra at the head of their files: `python -m paconv.ops.document FILE`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from types import ModuleType

from onnx import TensorProto

from paconv import bits
from paconv.files import write_text
from paconv.ops import (
    OPSET_VERSION,
    pa_activation,
    pa_bit_conv,
    pa_depthwise_conv,
    pa_level_conv,
    pa_level_max_pool,
    pa_levels,
    pa_unpack_weight,
    pa_weight,
)
from paconv.ops.schema import DOMAIN, Attribute, OpSchema, Tensor

__all__ = ["markdown"]

_CHAPTERS = (
    (pa_weight.PA_WEIGHT, pa_weight),
    (pa_activation.PA_ACTIVATION, pa_activation),
    (pa_bit_conv.PA_BIT_CONV, pa_bit_conv),
    (pa_levels.PA_LEVELS, pa_levels),
    (pa_level_conv.PA_LEVEL_CONV, pa_level_conv),
    (pa_level_max_pool.PA_LEVEL_MAX_POOL, pa_level_max_pool),
    (pa_depthwise_conv.PA_DEPTHWISE_CONV, pa_depthwise_conv),
    (pa_unpack_weight.PA_UNPACK_WEIGHT, pa_unpack_weight),
    (pa_bit_conv.PA_BIT_CONV_COUNTS, None),
)

_HEAD = f"""# The ops of domain `{DOMAIN}`, version {OPSET_VERSION}

Written from the schemas in `paconv/ops` by `make docs`; the tests compare the two.

`paconv export` writes `PAWeight` and `PAActivation`; `paconv optimize` turns them into `PABitConv` and
`PAUnpackWeight`, and linked `PABitConv` nodes to `PALevels`, `PALevelConv` and `PALevelMaxPool`, with `PADepthwiseConv`
for real depthwise convolutions between them. Each of these is a model-local function in the file that uses it, of
standard ops of opset 13 or later, so that any onnxruntime runs it. The custom-op library has kernels for all but the
quantizers and `PAUnpackWeight`, and for `PABitConvCounts`.
"""


def markdown() -> str:
    """The whole of docs/ops.md."""
    packing = f"## Bit order and packing\n\n{_algebra(bits)}\n"
    return "\n".join([_HEAD, *(_chapter(schema, module) for schema, module in _CHAPTERS), packing])


def _chapter(schema: OpSchema, module: ModuleType | None) -> str:
    parts = [f"## {schema.name}", f"{schema.summary} Source: {schema.source}."]
    if module is not None:
        parts.append(_algebra(module))
    parts += [
        _table(("input", "type", "shape", "meaning"), map(_tensor_row, schema.inputs)),
        _table(("output", "type", "shape", "meaning"), map(_tensor_row, schema.outputs)),
    ]
    if schema.attributes:
        parts.append(_table(("attribute", "type", "meaning"), map(_attribute_row, schema.attributes)))
    if schema.body:
        parts.append(f"Function body:\n\n```\n{schema.body.strip(chr(10))}\n```")
    return "\n\n".join(parts) + "\n"


def _algebra(module: ModuleType) -> str:
    """The module's docstring without its title."""
    return (inspect.getdoc(module) or "").partition("\n\n")[2]


def _tensor_row(tensor: Tensor) -> tuple[str, ...]:
    return f"`{tensor.name}`", TensorProto.DataType.Name(tensor.dtype).lower(), tensor.shape, tensor.meaning


def _attribute_row(attribute: Attribute) -> tuple[str, ...]:
    if attribute.strings:
        kind = f"{attribute.length} strings" if (attribute.length or 0) > 1 else "1 string in a list"
    else:
        kind = {None: "ints", 1: "int"}.get(attribute.length, f"{attribute.length} ints")
    return f"`{attribute.name}`", kind, attribute.meaning


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    write_text(sys.argv[1], markdown())
