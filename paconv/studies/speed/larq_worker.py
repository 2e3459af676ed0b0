"""Larq Compute Engine's side of larq.py: run by another Python, with nothing of paconv in it.

Needs larq-compute-engine; TensorFlow and larq convert the layers, larq-zoo has the networks.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from importlib.metadata import PackageNotFoundError, version

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # larq is written for Keras 2
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_PACKAGES = ("larq-compute-engine", "larq", "larq-zoo", "tensorflow", "tensorflow-cpu", "numpy")
_IMAGE = (224, 224, 3)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what TensorFlow prints does not go among the answers
    runs: list[tuple] = []
    converted: dict[str, tuple] = {}
    answer(answers, start)
    for line in sys.stdin:
        answer(answers, lambda line=line: serve(json.loads(line), runs, converted))


def answer(answers, what) -> None:
    try:
        found = what()
    except Exception as error:  # reported to the other side, which knows what it means
        found = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    print(json.dumps(found), file=answers)


def start() -> dict:
    import larq_compute_engine  # noqa: F401

    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return {"versions": found}


def serve(request: dict, runs: list[tuple], converted: dict[str, tuple]) -> dict:
    """converted: what was asked for -> (its flatbuffer, the input's shape), for another thread count."""
    if "time" in request:
        interpreter, x = runs[request["time"]]
        began = time.perf_counter()
        interpreter.predict(x)
        return {"seconds": time.perf_counter() - began}
    threads = request.pop("threads")
    key = json.dumps(request)
    if key not in converted:
        from larq_compute_engine import convert_keras_model

        model, shape = layer(*request["layer"]) if "layer" in request else network(request["network"])
        converted[key] = convert_keras_model(model), shape
    flatbuffer, shape = converted[key]
    runs.append(opened(flatbuffer, shape, threads))
    return {"run": len(runs) - 1}


def layer(channels: int, out: int, size: int, kernel: int):
    """A Keras model of one binary convolution and a batch norm, and its input's shape."""
    import larq
    import tensorflow as tf

    shape = (size, size, channels)
    x = tf.keras.layers.Input(shape, batch_size=1)
    y = larq.layers.QuantConv2D(
        out, kernel, padding="same", pad_values=1, use_bias=False, input_quantizer="ste_sign",
        kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
    )(x)  # fmt: skip
    return tf.keras.Model(x, tf.keras.layers.BatchNormalization()(y)), shape


def network(name: str):
    import larq_zoo

    makers = {"BiRealNet": larq_zoo.literature.BiRealNet, "QuickNet": larq_zoo.sota.QuickNet}
    return makers[name](weights=None, input_shape=_IMAGE), _IMAGE


def opened(flatbuffer: bytes, shape: tuple, threads: int) -> tuple:
    """(interpreter, input), run once."""
    import numpy as np
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    interpreter = Interpreter(flatbuffer, num_threads=threads)
    x = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    interpreter.predict(x)
    return interpreter, x


if __name__ == "__main__":
    main()
