"""What a model-local function computes, apart from how it is written.

Tools rewrite functions: constants in another form, other names, another order of nodes, attributes that are defaults
written out or left out, Identity in between, what nothing reads left out. Two functions have the same meaning if each
of their outputs is made in the same way:

    meaning(input i) = i        meaning(constant) = its type, shape and bytes
    meaning(output k of a node) = (domain, op, attributes that aren't defaults, meanings of the inputs, k)
"""

from __future__ import annotations

from hashlib import sha256

import onnx
from onnx import numpy_helper

from paconv.onnx_file.graph_view import constant_array, inner_nodes, subgraphs

__all__ = ["same_meaning"]

_LATEST = 18
"""The standard opset that defaults are read from where a function imports none."""


def same_meaning(one: onnx.FunctionProto, other: onnx.FunctionProto) -> bool:
    """Whether two functions compute the same."""
    return _meaning(one) == _meaning(other)


def _meaning(function: onnx.FunctionProto) -> tuple:
    opset = next((o.version for o in function.opset_import if o.domain in ("", "ai.onnx")), _LATEST)
    made = {"": ""} | {name: f"input {k}" for k, name in enumerate(function.input)}
    for node in function.node:
        inputs = [made.get(name, f"unknown {name}") for name in node.input]
        while inputs and not inputs[-1]:
            inputs.pop()
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (domain, node.op_type) == ("", "Identity"):
            made[node.output[0]] = inputs[0]
            continue
        how = _constant(node) or repr((domain, node.op_type, _attributes(node, domain, opset), inputs))
        for k, name in enumerate(node.output):
            if name:
                made[name] = sha256(f"{how} {k}".encode()).hexdigest()
    attributes = sorted([*function.attribute, *(a.name for a in function.attribute_proto)])
    return len(function.input), attributes, [made.get(name, f"unknown {name}") for name in function.output]


def _constant(node: onnx.NodeProto) -> str:
    """A Constant node's value, in whatever form; "" for another node, or one whose value is an attribute's."""
    value = constant_array(node)
    return "" if value is None else f"{value.dtype} {value.shape} {value.tobytes().hex()}"


def _attributes(node: onnx.NodeProto, domain: str, opset: int) -> list[tuple[str, str]]:
    known = onnx.defs.get_schema(node.op_type, opset, domain).attributes if _has_schema(node, domain, opset) else {}
    found = []
    for each in node.attribute:
        if each.type in _GRAPHS:
            continue
        default = known[each.name].default_value if each.name in known else None
        if not each.ref_attr_name and default is not None and default.type and _value(default) == _value(each):
            continue
        found.append((each.name, f"@{each.ref_attr_name}" if each.ref_attr_name else _value(each)))
    if any(True for _ in subgraphs(node)):
        found.append(("subgraphs", _without_names(node).SerializeToString(deterministic=True).hex()))
    return sorted(found)


def _without_names(node: onnx.NodeProto) -> onnx.NodeProto:
    """A copy of a node, without the names of it and of the nodes in it."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for each in (copy, *inner_nodes([copy])):
        each.ClearField("name")
    return copy


def _has_schema(node: onnx.NodeProto, domain: str, opset: int) -> bool:
    return domain == "" and onnx.defs.has(node.op_type, opset, domain)


def _value(attribute: onnx.AttributeProto) -> str:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        array = numpy_helper.to_array(value)
        return f"{array.dtype} {array.shape} {array.tobytes().hex()}"
    return repr(list(value) if attribute.type in _LISTS else value)


_GRAPHS = {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS}
_LISTS = {onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS, onnx.AttributeProto.STRINGS}
