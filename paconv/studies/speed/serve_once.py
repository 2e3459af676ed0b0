"""A process that opens one model and runs it a few times, and says what that took (memory.py starts it).

    python -m paconv.studies.speed.serve_once FILE THREADS KERNEL

KERNEL "" is a session without the custom-op library. Nothing is imported that serving doesn't need. A size that is free
is 1: the batch.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import onnxruntime as ort

_RUNS = 3


def main(path: str, threads: str, kernel: str) -> None:
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(threads)
    if kernel:
        from paconv.runtime.session import register

        register(options, kernel)
    before = peak_bytes()
    start = time.perf_counter()
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    opened = time.perf_counter()
    rng = np.random.default_rng(0)
    feeds = {
        i.name: rng.standard_normal([n if isinstance(n, int) else 1 for n in i.shape], np.float32)
        for i in session.get_inputs()
    }
    for run in range(_RUNS):
        began = time.perf_counter()
        session.run(None, feeds)
        if run == 0:
            first = time.perf_counter() - began
    found = {
        "create_seconds": opened - start,
        "first_run_seconds": first,
        "peak_bytes": peak_bytes(),
        "before_bytes": before,
    }
    print(json.dumps(found))


def peak_bytes() -> int:
    """The most memory that this process has had: VmHWM, which is its own, where Linux has it; otherwise ru_maxrss."""
    try:
        with open("/proc/self/status") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(*sys.argv[1:])
