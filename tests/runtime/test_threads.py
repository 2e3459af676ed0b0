"""Threads: the same bits for any number of them, and one session for several."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort
import pytest

import paconv
from paconv.kernels.registry import CHOICES
from tests.bit_conv_cases import make_case, model_of

SIZES = dict(channels=33, out=40, size=(23, 31), batch=2, offsets=True)
CASE, ON_GRID = (make_case(np.random.default_rng(0), grid=grid, **SIZES) for grid in (None, (15, 0, 31)))


def session(threads: int, kernel: str = "planes", case=CASE):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return paconv.InferenceSession(model_of(case).SerializeToString(), options, kernel=kernel)


@pytest.mark.parametrize("kernel", CHOICES)
@pytest.mark.parametrize("case", [CASE, ON_GRID], ids=["off any grid", "on a grid"])
def test_results_do_not_depend_on_the_thread_count_bit_for_bit(kernel, case):
    one, two, five = (session(t, kernel, case).run(None, {"X": case.X})[0].tobytes() for t in (1, 2, 5))
    assert one == two == five


def test_threads_that_share_a_session_get_the_results_of_their_own_inputs():
    shared = session(2)
    inputs = [np.random.default_rng(k).standard_normal(CASE.X.shape).astype(np.float32) for k in range(8)]
    alone = [shared.run(None, {"X": x})[0].tobytes() for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda x: shared.run(None, {"X": x})[0].tobytes(), inputs * 5))
    assert together == alone * 5


def test_sessions_made_in_several_threads_at_once_agree():
    with ThreadPoolExecutor(4) as pool:
        results = {
            f.result()
            for f in [pool.submit(lambda: session(1).run(None, {"X": CASE.X})[0].tobytes()) for _ in range(12)]
        }
    assert len(results) == 1


def test_the_library_survives_the_end_of_its_last_session():
    first = session(1).run(None, {"X": CASE.X})[0]
    assert first.tobytes() == session(1).run(None, {"X": CASE.X})[0].tobytes()
