"""Changes to an ONNX file that make it malformed, in one place or in several that agree with each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import TensorProto, helper, numpy_helper

from paconv import ops

__all__ = ["mutated"]

INTS = (0, 1, -1, 2, 3, 7, 8, 15, 16, 17, 127, 128, 255, 256, 257, 65535, 2**24, 2**24 + 1, 2**31 - 1, 2**31, 2**32,
        2**40, 2**62, 2**63 - 1, -(2**63), -(2**31), -2, -7)  # fmt: skip
FLOATS = (0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1e-38, 3e38, -3e38, 1e30, 1e-30, 1.0, -1.0, 1e10)
FACTORS = (1e-38, 1e-20, 1e20, 1e38, -1, 0)
TYPES = (np.float64, np.float16, np.int32, np.int64, np.uint8, np.int8, np.float32, bool)
LOCATIONS = ("/etc/passwd", "../x", "/dev/zero", "", "a\0b", "x" * 5000)
IMPOSSIBLE = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, DecodeError,
              onnx.checker.ValidationError)  # fmt: skip
"""What a change raises where an earlier one left nothing to change."""

NAMES = ("", "%s%n%s%n", "x" * 10000, "\u00e9\n", "x" * 127, "x" * 128, "x" * 129)
OP_TYPES = (*(op.name for op in ops.LIBRARY_OPS), "PAUnpackWeight", "Nothing", "Conv", "Identity")

Rng = np.random.Generator


def mutated(rng: Rng, model: onnx.ModelProto) -> tuple[bytes, list[str]]:
    """The bytes of a file made from `model`, which is changed, and what was done to it."""
    if rng.integers(8) == 0:
        return _with_other_bytes(rng, model.SerializeToString()), ["other bytes"]
    done = []
    for _ in range(int(_pick(rng, (1, 1, 1, 2, 3)))):
        change = _pick(rng, CHANGES)
        try:
            change(rng, model)
            done.append(change.__name__.strip("_"))
        except IMPOSSIBLE:
            done.append(f"no {change.__name__.strip('_')}")
    try:
        return model.SerializeToString(), done
    except (ValueError, EncodeError):  # a name that is no UTF-8
        return b"", done


def _pick(rng: Rng, items: Sequence[Any]) -> Any:
    return items[int(rng.integers(len(items)))]


def _node(rng: Rng, model: onnx.ModelProto) -> onnx.NodeProto:
    return _pick(rng, [n for n in model.graph.node if n.domain == ops.DOMAIN] or list(model.graph.node))


def _constant(rng: Rng, model: onnx.ModelProto) -> TensorProto:
    return _pick(rng, model.graph.initializer)


def _with_other_bytes(rng: Rng, data: bytes) -> bytes:
    """Some bits and bytes changed, left out or added."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        at, what = int(rng.integers(len(changed))), int(rng.integers(5))
        if what <= 1:
            changed[at] ^= 1 << int(rng.integers(8))
        elif what == 2:
            changed[at] = int(rng.integers(256))
        elif what == 3:
            del changed[at : at + int(rng.integers(1, 9))]
        else:
            changed[at:at] = rng.bytes(int(rng.integers(1, 9)))
    return bytes(changed)


def _one_integer(rng: Rng, model: onnx.ModelProto) -> None:
    attribute = _pick(rng, _node(rng, model).attribute)
    if attribute.ints:
        attribute.ints[int(rng.integers(len(attribute.ints)))] = _pick(rng, INTS)
    else:
        attribute.i = _pick(rng, INTS)


def _all_integers(rng: Rng, model: onnx.ModelProto) -> None:
    ints = _pick(rng, [a for a in _node(rng, model).attribute if a.ints]).ints
    ints[:] = [_pick(rng, INTS) for _ in ints]


def _number_of_integers(rng: Rng, model: onnx.ModelProto) -> None:
    ints = _pick(rng, [a for a in _node(rng, model).attribute if a.ints]).ints
    count = _pick(rng, (0, 1, 3, 5, 255, 256, 257, 300, 4096))
    ints[:] = [_pick(rng, (0, 1, 2, 4, 8, _pick(rng, INTS))) for _ in range(count)]


def _attribute_itself(rng: Rng, model: onnx.ModelProto) -> None:
    node = _node(rng, model)
    attribute, what = _pick(rng, node.attribute), int(rng.integers(3))
    if what == 0:
        node.attribute.remove(attribute)
    elif what == 1:
        attribute.type = int(rng.integers(0, 15))
    else:
        node.attribute.add().CopyFrom(attribute)


def _sizes_together(rng: Rng, model: onnx.ModelProto) -> None:
    """Another weight_shape, and weights, codes' bits and masks for it, so that the checks of sizes agree."""
    node = _pick(rng, [n for n in model.graph.node if any(a.name == "weight_shape" for a in n.attribute)])
    of = {a.name: a for a in node.attribute}
    shape = of["weight_shape"].ints
    for _ in range(int(rng.integers(1, 3))):
        shape[int(rng.integers(4))] = int(_pick(rng, (1, 1, 2, 3, 5, 16, 17, 31, 64, 100)))
    rows, count = int(rng.integers(1, 9)), int(np.prod(list(shape)))
    if count > 1 << 20:
        return
    W = rng.integers(0, 256, (rows, (count + 7) // 8)).astype(np.uint8)
    name = node.input[2 if node.op_type == "PALevelConv" else 1]
    (target, *_) = [t for t in model.graph.initializer if t.name == name]
    target.CopyFrom(numpy_helper.from_array(W, name))
    if rng.integers(2):
        of["weight_masks"].ints[:] = [int(m) for m in rng.integers(0, 2, 1 << rows)]


def _values(rng: Rng, model: onnx.ModelProto) -> None:
    tensor = _constant(rng, model)
    array = numpy_helper.to_array(tensor).copy()
    flat, what = array.reshape(-1), int(rng.integers(6))
    some = rng.integers(flat.size, size=int(rng.integers(1, 4)))
    if array.dtype.kind != "f":
        flat[:] = rng.integers(-128, 256, flat.size).astype(array.dtype) if what == 1 else flat
        flat[some if what else slice(None)] = np.uint8(_pick(rng, (0, 1, 127, 128, 255, 254))).astype(array.dtype)
    elif what == 1:
        rng.shuffle(flat)
    elif what == 2:
        with np.errstate(all="ignore"):
            flat *= array.dtype.type(_pick(rng, FACTORS))
    else:
        flat[some if what else slice(None)] = _pick(rng, FLOATS)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _declaration(rng: Rng, model: onnx.ModelProto) -> None:
    """A constant's type, sizes, bytes or place."""
    tensor, what = _constant(rng, model), int(rng.integers(4))
    if what == 0:
        tensor.data_type = int(rng.integers(0, 27))
    elif what == 1:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = _pick(rng, INTS)
    elif what == 2:
        data = tensor.raw_data
        tensor.raw_data = data[: int(rng.integers(len(data) + 1))] if rng.integers(2) else data + b"\xff" * 7
    else:
        tensor.data_location = TensorProto.EXTERNAL
        for key, values in (("location", LOCATIONS), ("length", INTS), ("offset", INTS)):
            tensor.external_data.add(key=key, value=str(_pick(rng, values)))


def _form(rng: Rng, model: onnx.ModelProto) -> None:
    """A constant of another length, shape or type, whole in itself."""
    tensor, what = _constant(rng, model), int(rng.integers(3))
    if tensor.data_location == TensorProto.EXTERNAL:  # by an earlier change
        return
    array = numpy_helper.to_array(tensor)
    if what == 0:
        axis, length = int(rng.integers(array.ndim)), int(_pick(rng, (0, 1, 2, 3, 9, 10, 17, 256, 257)))
        array = np.take(array, np.arange(length) % array.shape[axis], axis)
    elif what == 1:
        array = array.reshape(_pick(rng, ((-1,), (1, -1), (-1, 1), (1, 1, -1))))
    else:
        with np.errstate(all="ignore"):
            array = array.astype(_pick(rng, TYPES))
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))


def _constant_itself(rng: Rng, model: onnx.ModelProto) -> None:
    tensor, what = _constant(rng, model), int(rng.integers(3))
    if what == 2:
        model.graph.initializer.add().CopyFrom(tensor)
        return
    name = tensor.name
    model.graph.initializer.remove(tensor)
    if what == 1:
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))


def _inputs(rng: Rng, model: onnx.ModelProto) -> None:
    inputs, what = _node(rng, model).input, int(rng.integers(5))
    k, j = (int(v) for v in rng.integers(0, len(inputs), 2))
    if what == 0:
        del inputs[k:]
    elif what == 1:
        inputs[k] = ""
    elif what == 2:
        inputs[j], inputs[k] = inputs[k], inputs[j]
    elif what == 3:
        inputs[k] = _pick(rng, [t.name for t in (*model.graph.initializer, *model.graph.input)] + ["none"])
    else:
        inputs.extend(["X"] * int(rng.integers(1, 20)))


def _outputs(rng: Rng, model: onnx.ModelProto) -> None:
    outputs = _node(rng, model).output
    if rng.integers(2):
        outputs[int(rng.integers(len(outputs)))] = ""
    else:
        outputs.extend([f"more{k}" for k in range(int(rng.integers(1, 6)))])


def _node_itself(rng: Rng, model: onnx.ModelProto) -> None:
    node, what = _node(rng, model), int(rng.integers(3))
    if what == 0:
        node.op_type = _pick(rng, OP_TYPES)
    elif what == 1:
        node.name = _pick(rng, NAMES)
    else:
        model.graph.node.add().CopyFrom(node)


def _versions(rng: Rng, model: onnx.ModelProto) -> None:
    if rng.integers(2):
        _pick(rng, model.opset_import).version = _pick(rng, (0, 1, 2, -1, 12, 13, 99, 2**31 - 1))
    else:
        model.ir_version = _pick(rng, (0, 1, 3, 7, 11, 99))


def _signature(rng: Rng, model: onnx.ModelProto) -> None:
    info = _pick(rng, (*model.graph.input, *model.graph.output)).type.tensor_type
    if rng.integers(2):
        info.elem_type = int(rng.integers(0, 24))
        return
    del info.shape.dim[:]
    for _ in range(int(rng.integers(0, 7))):
        size = _pick(rng, (0, 1, 2, 3, -1, 2**31, 2**62, 2**63 - 1, None, 7))
        info.shape.dim.add(**({"dim_param": "N"} if size is None else {"dim_value": size}))


def _function(rng: Rng, model: onnx.ModelProto) -> None:
    function = _pick(rng, model.functions)
    part = function.attribute if function.attribute and rng.integers(2) else function.node
    del part[int(rng.integers(len(part)))]


CHANGES: tuple[Callable[[Rng, onnx.ModelProto], None], ...] = (
    _one_integer, _one_integer, _all_integers, _number_of_integers, _attribute_itself, _sizes_together, _sizes_together,
    _values, _values, _values, _values, _declaration, _form, _form, _constant_itself, _inputs, _outputs, _node_itself,
    _versions, _signature, _function,
)  # fmt: skip
