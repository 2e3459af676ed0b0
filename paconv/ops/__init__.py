"""The ops of domain `paconv`: one file an op, the truth from which everything else about it is derived."""

from __future__ import annotations

import onnx

from paconv.ops.pa_activation import PA_ACTIVATION
from paconv.ops.pa_bit_conv import PA_BIT_CONV, PA_BIT_CONV_COUNTS
from paconv.ops.pa_depthwise_conv import PA_DEPTHWISE_CONV
from paconv.ops.pa_level_conv import PA_LEVEL_CONV
from paconv.ops.pa_level_max_pool import PA_LEVEL_MAX_POOL
from paconv.ops.pa_levels import PA_LEVELS
from paconv.ops.pa_unpack_weight import PA_UNPACK_WEIGHT
from paconv.ops.pa_weight import PA_WEIGHT
from paconv.ops.schema import DOMAIN, OPSET_VERSION, OpSchema, standard_opset

__all__ = [
    "DOMAIN",
    "LIBRARY_OPS",
    "OPSET_VERSION",
    "OpSchema",
    "PA_ACTIVATION",
    "PA_BIT_CONV",
    "PA_BIT_CONV_COUNTS",
    "PA_DEPTHWISE_CONV",
    "PA_LEVELS",
    "PA_LEVEL_CONV",
    "PA_LEVEL_MAX_POOL",
    "PA_UNPACK_WEIGHT",
    "PA_WEIGHT",
    "SCHEMAS",
    "add_functions",
    "standard_opset",
]

SCHEMAS = {
    s.name: s
    for s in (
        PA_WEIGHT,
        PA_ACTIVATION,
        PA_UNPACK_WEIGHT,
        PA_BIT_CONV,
        PA_LEVELS,
        PA_LEVEL_CONV,
        PA_LEVEL_MAX_POOL,
        PA_DEPTHWISE_CONV,
    )
}
"""Ops that appear in models; each has a function body."""

LIBRARY_OPS = (PA_BIT_CONV, PA_BIT_CONV_COUNTS, PA_LEVELS, PA_LEVEL_CONV, PA_LEVEL_MAX_POOL, PA_DEPTHWISE_CONV)
"""Ops that the custom-op library registers."""


def add_functions(model: onnx.ModelProto) -> None:
    """Make `model` self-contained: give it the functions of exactly the paconv ops it uses, and the opset import.

    Functions of domain paconv that nothing calls any more are dropped; those of other domains stay.
    """
    wanted: list[str] = []

    def visit(name: str) -> None:
        if name in SCHEMAS and name not in wanted:
            for called in SCHEMAS[name].calls:
                visit(called)
            wanted.append(name)

    def visit_calls(nodes) -> None:
        for node in nodes:
            if node.domain == DOMAIN:
                visit(node.op_type)
            for attribute in node.attribute:
                for subgraph in (attribute.g, *attribute.graphs):
                    visit_calls(subgraph.node)

    others = [f for f in model.functions if f.domain != DOMAIN]
    visit_calls(model.graph.node)
    for function in others:
        visit_calls(function.node)
    del model.functions[:]
    model.functions.extend(others)
    model.functions.extend(SCHEMAS[name].function(standard_opset(model)) for name in wanted)
    imports = [o for o in model.opset_import if o.domain != DOMAIN]
    if wanted:
        imports.append(onnx.helper.make_opsetid(DOMAIN, OPSET_VERSION))
    del model.opset_import[:]
    model.opset_import.extend(imports)
