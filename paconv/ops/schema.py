"""What an op's file declares: its inputs, outputs, attributes and meaning.

Checker, shape inference, function body, the C shim's tables and the docs are derived from these records.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx

__all__ = ["DOMAIN", "OPSET_VERSION", "Attribute", "OpSchema", "Tensor", "standard_opset"]

DOMAIN = "paconv"
OPSET_VERSION = 1
MIN_STANDARD_OPSET = 13
"""The function bodies use forms of Unsqueeze and ReduceSum that came with opset 13."""


@dataclass(frozen=True)
class Tensor:
    """An input or output: its name, onnx element type, shape in words and meaning."""

    name: str
    dtype: int
    shape: str
    meaning: str


@dataclass(frozen=True)
class Attribute:
    """An attribute; all are required. length 1: an integer; more: a list of as many; None: a list of any length.

    strings: it is a list of strings instead of integers.
    """

    name: str
    length: int | None
    meaning: str
    strings: bool = False


@dataclass(frozen=True)
class OpSchema:
    """One op of domain `paconv`. `body` is ONNX text of the function body, without its opset import."""

    name: str
    summary: str
    source: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    attributes: tuple[Attribute, ...] = ()
    body: str = ""
    calls: tuple[str, ...] = ()

    def function(self, standard_opset: int = 18) -> onnx.FunctionProto:
        """The op as a model-local function over opset `standard_opset` of the standard domain."""
        imports = f'"" : {standard_opset}' + (f', "{DOMAIN}" : {OPSET_VERSION}' if self.calls else "")
        attributes = f"<{', '.join(a.name for a in self.attributes)}>" if self.attributes else ""
        signature = f"{', '.join(t.name for t in self.inputs)}) => ({', '.join(t.name for t in self.outputs)}"
        text = (
            f'<domain: "{DOMAIN}", opset_import: [{imports}]>\n{self.name} {attributes} ({signature})\n{{{self.body}}}'
        )
        function = onnx.parser.parse_function(text)
        function.doc_string = self.summary
        return function


def standard_opset(model: onnx.ModelProto) -> int:
    """Version of the standard domain that `model` imports (0 if none)."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
