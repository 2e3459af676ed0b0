"""What holds for all tests: how many examples hypothesis tries, threads, and what torch need not do again."""

import functools
import os
import sys

from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has a core; torch's threads would wait for each other in a loop. Read when torch is loaded, later.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("hand", settings.get_profile("ci"), max_examples=15)
settings.load_profile("ci" if os.environ.get("CI") else "hand")


def pytest_runtest_setup() -> None:
    """torch.onnx.export makes its table of ONNX functions anew each time, a third of a small export. The table doesn't
    depend on what is exported, and nothing here adds to it: one serves all exports of the process.
    """
    registration = sys.modules.get("torch.onnx._internal.exporter._registration")  # private: a torch may not have it
    registry = getattr(registration, "ONNXRegistry", None)
    make = getattr(registry, "from_torchlib", None)
    if make is not None and not hasattr(make, "cache_info"):
        registry.from_torchlib = staticmethod(functools.cache(make))
