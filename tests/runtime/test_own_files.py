"""Files that others can have put there are not read, nor waited for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paconv.errors import PaconvError
from paconv.files import need_own
from paconv.kernels.cpus import find_cpu
from paconv.kernels.rates import Rates, rates_of
from paconv.runtime.library import active_cpu
from paconv.runtime.rates import store_rates

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners here")

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import numpy as np
from paconv.runtime.inspection import node_kernels
from tests.bit_conv_cases import make_case, model_of
(found,) = node_kernels(model_of(make_case(np.random.default_rng(0))).SerializeToString())
print(found.planes_rate)
"""


def planes_rate(cache: Path) -> float:
    """By which a node's kernel is chosen, in a process of its own."""
    environment = os.environ | {"PACONV_CACHE": str(cache)}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return float(done.stdout)


def test_rates_are_not_read_through_a_link_from_a_pipe_or_from_another_user(tmp_path, monkeypatch):
    shipped = planes_rate(tmp_path)
    monkeypatch.setenv("PACONV_CACHE", str(tmp_path))
    known = rates_of(find_cpu(active_cpu()))
    path = store_rates(Rates(dict.fromkeys(known.planes, 7.0), dict.fromkeys(known.codes, 7.0)))
    assert planes_rate(tmp_path) != shipped, "this user's file is read"
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
        assert planes_rate(tmp_path) == shipped
        os.chown(path, 0, 0)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert planes_rate(tmp_path) == shipped
    path.unlink()
    os.mkfifo(path)
    assert planes_rate(tmp_path) == shipped


def test_a_folder_of_code_is_this_users_and_no_link_and_closed_to_others(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    need_own(own, "set another")
    (tmp_path / "link").symlink_to(own)
    with pytest.raises(PaconvError, match="found a link; set another"):
        need_own(tmp_path / "link", "set another")
    own.chmod(0o777)
    with pytest.raises(PaconvError, match="others can't write to; found one they can; set another"):
        need_own(own, "set another")
    if os.geteuid() == 0:
        own.chmod(0o755)
        os.chown(own, 65534, 65534)
        with pytest.raises(PaconvError, match="found one of user 65534; set another"):
            need_own(own, "set another")
