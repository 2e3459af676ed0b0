"""Sessions made and dropped a thousand times, from several threads: no crash, no leak."""

import gc
import resource
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort

import paconv
from tests.bit_conv_cases import make_case, model_of

CASE = make_case(np.random.default_rng(0), channels=64, out=64)  # 0.3 MB of prepared weights a session
MODEL = model_of(CASE).SerializeToString()


def use_a_session(_) -> bytes:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return paconv.InferenceSession(MODEL, options).run(None, {"X": CASE.X})[0].tobytes()


def resident_bytes() -> int:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_a_thousand_sessions_from_four_threads_leak_no_memory_and_agree():
    with ThreadPoolExecutor(4) as pool:
        results = set(pool.map(use_a_session, range(200)))
        before = resident_bytes()
        results |= set(pool.map(use_a_session, range(1000)))
        grown = resident_bytes() - before
    assert len(results) == 1
    # A leak of a session's weights alone would be 300 MB; the allocator's own slack is a few MB.
    assert grown < 30e6, f"{grown / 1e6:.1f} MB more after 1,000 sessions"
