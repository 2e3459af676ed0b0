"""Building for other targets, and what stands in the way."""

import pytest
from click.testing import CliRunner

from paconv.cli.main import cli
from paconv.errors import PaconvError, UsageError
from paconv.library_build.build import build_library, chosen_cpus, is_current
from paconv.library_build.targets import BUILT, TARGETS, find_target, host_target


def test_the_built_library_is_current_and_small():
    assert is_current(BUILT)
    assert BUILT.stat().st_size < 5_000_000


def test_an_unknown_target_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="expected one of x86_64-linux, aarch64-linux"):
        find_target("sparc-linux")
    assert CliRunner().invoke(cli, ["build-library", "--target", "sparc-linux"]).exit_code == 2


def test_without_a_compiler_building_says_which_one_is_needed_and_leaves_the_old_library(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    (tmp_path / "lib.so").write_bytes(b"old")
    other = next(t for t in TARGETS.values() if t != host_target() and t.compilers)
    with pytest.raises(PaconvError, match=f"Numba|{other.compilers[0]}"):
        build_library(other, tmp_path / "lib.so")
    assert (tmp_path / "lib.so").read_bytes() == b"old"


def test_the_cpu_of_this_machine_is_none_of_another_target():
    other = next(t for t in TARGETS.values() if t.architecture != host_target().architecture)
    for names in (["host"], ["nothing"]):
        with pytest.raises(UsageError) as caught:
            chosen_cpus(other, names)
        assert f"{other.name}" in str(caught.value) and "expected host" not in str(caught.value)
        assert all(cpu.name in str(caught.value) for cpu in chosen_cpus(other, []))
    with pytest.raises(UsageError, match="unknown CPU 'nothing' of .*: expected host, "):
        chosen_cpus(host_target(), ["nothing"])
