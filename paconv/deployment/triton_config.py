"""config.pbtxt: a Triton model configuration (message ModelConfig of Triton's model_config.proto, protobuf text)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf import text_encoding

from paconv.deployment.signature import Signature, TensorSpec
from paconv.errors import ModelError, UsageError

__all__ = ["DEFAULT_MAX_BATCH_SIZE", "TritonOptions", "batch_limit", "config_text"]

DEFAULT_MAX_BATCH_SIZE = 32

_DATA_TYPES = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "uint16": "TYPE_UINT16",
    "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64",
    "int8": "TYPE_INT8",
    "int16": "TYPE_INT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float": "TYPE_FP32",
    "double": "TYPE_FP64",
    "string": "TYPE_STRING",
}
"""Those that Triton's onnxruntime backend takes, by their names in ONNX; it has no bfloat16."""


@dataclass(frozen=True)
class TritonOptions:
    """How Triton is to run a model."""

    max_batch_size: int | None = None
    """Most samples per batch; None is DEFAULT_MAX_BATCH_SIZE if the model batches, 0 is no batching."""
    preferred_batch_sizes: Sequence[int] = ()
    """Sizes that the batcher runs at once."""
    max_queue_delay: int | None = None
    """Microseconds that a request may wait for others."""
    instances: int = 1
    """Runs of the model at the same time."""
    threads: int | None = None
    """Threads per instance; None is one per core."""


def batch_limit(model: Signature, options: TritonOptions) -> int:
    """The max_batch_size of the configuration.

    Raises:
        UsageError: The options don't fit the model or one another.
    """
    asked = options.max_batch_size
    if asked is not None and asked < 0:
        raise UsageError(f"max batch size: expected 0 (no batching) or more, found {asked}")
    if asked and not model.batches:
        first = ", ".join(f"{t.name} {_shape_text(t)}" for t in (*model.inputs, *model.outputs))
        raise UsageError(
            f"max batch size {asked}: expected a model whose first dimension is free and the same in all inputs and "
            f"outputs, found {first}; leave the option out, or export the model with a free batch"
        )
    size = asked if asked is not None else DEFAULT_MAX_BATCH_SIZE if model.batches else 0
    if size < 2 and (options.preferred_batch_sizes or options.max_queue_delay is not None):
        raise UsageError(f"preferred batch sizes and queue delay belong to batches of 2 or more, not of {size}")
    wrong = [b for b in options.preferred_batch_sizes if not 1 <= b <= size]
    if wrong:
        raise UsageError(f"preferred batch size: expected 1 to {size} (the max batch size), found {wrong[0]}")
    return size


def config_text(name: str, model: Signature, options: TritonOptions, library: str | None, where: str = "model") -> str:
    """The configuration as text.

    Args:
        name: The model's name, and that of its folder. model: Its inputs and outputs. options: Batching, instances and
        threads. library: Path of the custom-op library where the server sees it, None for none; Triton hands it to
        onnxruntime as
            it is.
        where: What messages call the model.

    Raises:
        UsageError: The options don't fit.
        ModelError: Triton has no such data type.
    """
    batch = batch_limit(model, options)
    if options.instances < 1 or (options.threads is not None and options.threads < 1):
        raise UsageError("expected at least 1 instance and 1 thread")
    lines = [f"name: {_quoted(name)}", 'backend: "onnxruntime"', f"max_batch_size: {batch}"]
    for what, tensors in (("input", model.inputs), ("output", model.outputs)):
        lines += [line for tensor in tensors for line in _tensor(what, tensor, batch > 0, where)]
    if batch > 1:
        lines += _dynamic_batching(options)
    lines += ["instance_group {", f"  count: {options.instances}", "  kind: KIND_CPU", "}"]
    if options.threads is not None:
        value = f'value {{ string_value: "{options.threads}" }}'
        lines += ["parameters {", '  key: "intra_op_thread_count"', f"  {value}", "}"]
    if library is not None:
        lines += ["model_operations {", f"  op_library_filename: {_quoted(library)}", "}"]
    return "\n".join(lines) + "\n"


def _tensor(what: str, tensor: TensorSpec, batched: bool, where: str) -> list[str]:
    """An input's or output's entry.

    Where the model batches, dims are those of a sample. Empty dims are not allowed: Triton's way is dims of [1] that
    are reshaped to [] behind the batch; without one the backend takes [1] for a scalar itself.
    """
    if tensor.dtype not in _DATA_TYPES:
        raise ModelError(f"{where}: {what} {tensor.name}: Triton's onnxruntime backend has no type for {tensor.dtype}")
    sizes = [size if isinstance(size, int) else -1 for size in tensor.shape[int(batched) :]]
    lines = [f"{what} {{", f"  name: {_quoted(tensor.name)}", f"  data_type: {_DATA_TYPES[tensor.dtype]}"]
    lines.append(f"  dims: [{', '.join(map(str, sizes or [1]))}]")
    if not sizes and batched:
        lines.append("  reshape { shape: [] }")
    return [*lines, "}"]


def _dynamic_batching(options: TritonOptions) -> list[str]:
    lines = []
    if options.preferred_batch_sizes:
        lines.append(f"  preferred_batch_size: [{', '.join(map(str, sorted(set(options.preferred_batch_sizes))))}]")
    if options.max_queue_delay is not None:
        if options.max_queue_delay < 0:
            raise UsageError(f"max queue delay: expected 0 microseconds or more, found {options.max_queue_delay}")
        lines.append(f"  max_queue_delay_microseconds: {options.max_queue_delay}")
    return ["dynamic_batching {", *lines, "}"]


def _shape_text(tensor: TensorSpec) -> str:
    return f"({', '.join('?' if size is None else str(size) for size in tensor.shape)})"


def _quoted(text: str) -> str:
    return f'"{text_encoding.CEscape(text, as_utf8=True)}"'
