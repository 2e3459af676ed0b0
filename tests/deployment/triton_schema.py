"""Triton's published model_config.proto, as the package tritonclient ships it."""

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from google.protobuf import text_format

__all__ = ["parse_config", "schema"]


@cache
def schema() -> ModuleType:
    """The generated module. Its package would import grpc, which nothing here needs."""
    package = importlib.util.find_spec("tritonclient").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location(
        "triton_model_config_pb2", Path(package) / "grpc" / "model_config_pb2.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parse_config(text: str):
    """The ModelConfig in `text`. Fails on a field, type or value that the schema doesn't have."""
    return text_format.Parse(text, schema().ModelConfig())
