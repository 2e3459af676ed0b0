"""The worker's protocol, with a package that stands for Larq Compute Engine where none is installed."""

import sys

import pytest

from paconv.cost.host.probe import conv
from paconv.errors import PaconvError
from paconv.studies.speed.larq import LarqRun, larq_engine

WORKER = """
import json, sys
print(json.dumps({"versions": {"larq-compute-engine": "9"}}), flush=True)
asked = []
for line in sys.stdin:
    request = json.loads(line)
    if "time" in request:
        answer = {"seconds": 0.5 + request["time"]}
    elif request.get("network") == "none":
        answer = {"error": "KeyError: none"}
    else:
        asked.append(request)
        answer = {"run": len(asked) - 1}
        if request.get("layer", [1]) != [8, 16, 5, 3]:
            answer = {"error": f"asked for {request}"}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    path = tmp_path / "worker.py"
    path.write_text(WORKER)
    monkeypatch.setattr("paconv.studies.speed.larq._WORKER", path)


def test_a_layer_is_asked_for_by_its_shape_and_timed_call_by_call(worker):
    with larq_engine(sys.executable) as larq:
        assert larq.versions == {"larq-compute-engine": "9"}
        first, second = larq.layer(conv(8, 16, 5), 1), larq.layer(conv(8, 16, 5), 2)
        assert (first, second) == (0, 1)
        assert [LarqRun(larq, run).call() for run in (second, first)] == [1.5, 0.5]


def test_what_the_worker_cannot_do_is_one_clear_error(worker):
    with larq_engine(sys.executable) as larq, pytest.raises(PaconvError, match="Larq Compute Engine: KeyError: none"):
        larq.network("none", 1)


def test_a_python_without_larq_says_so():
    with pytest.raises(PaconvError, match="ModuleNotFoundError: No module named 'larq_compute_engine'"):
        with larq_engine(sys.executable):
            pass


def test_a_python_that_is_none_says_so(tmp_path):
    with pytest.raises(PaconvError, match="cannot be run"):
        with larq_engine(str(tmp_path / "python")):
            pass
    with pytest.raises(PaconvError, match="ended without an answer"):
        with larq_engine("false"):
            pass
