"""`paconv doctor`: what is here, what isn't, and for which command that matters."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

from paconv.cli import diagnosis
from paconv.cli.commands import COMMANDS


@pytest.fixture
def without(monkeypatch):
    """Make packages seem not to be installed."""

    def hide(*names: str) -> None:
        find = diagnosis.find_spec
        monkeypatch.setattr(diagnosis, "find_spec", lambda name: None if name in names else find(name))

    return hide


def commands(run) -> dict[str, dict]:
    code, out, err = run("doctor", "--format", "json")
    assert (code, err) == (0, "")
    return {command["command"]: command for command in json.loads(out)["commands"]}


def test_every_command_is_judged(run):
    found = commands(run)
    assert set(found) == set(COMMANDS) - {"doctor"}


def test_without_torch_what_needs_it_says_how_to_get_it(run, without):
    without("torch")
    found = commands(run)
    assert not found["export"]["ready"] and found["cost"]["ready"]
    assert found["export"]["missing"] == ['needs torch: pip install "paconv[torch]"']
    assert found["cost"]["missing"] == ['of a checkpoint: needs torch: pip install "paconv[torch]"']
    ready = sum(each["ready"] for each in found.values())
    assert run("doctor", "-q")[1].startswith(f"{ready} of {len(found)} commands can run; not train, ")


def test_without_a_library_commands_that_load_it_can_not_run(run, monkeypatch):
    monkeypatch.setattr(diagnosis, "_problem", lambda: "the custom-op library isn't built")
    found = commands(run)
    assert not found["inspect"]["ready"] and found["optimize"]["ready"]
    assert found["inspect"]["missing"] == ["needs the custom-op library: `paconv build-library`"]
    assert "the custom-op library isn't built" in run("doctor")[1]


def test_it_ends_with_1_where_nothing_can_run(run, without):
    without("onnx")
    code, out, err = run("doctor")
    assert code == 1 and "needs onnx: pip install onnx" in out and "no command can run" in err


def test_rates_and_caches_are_where_they_are_kept(run, monkeypatch, tmp_path):
    monkeypatch.setenv("PACONV_CACHE", str(tmp_path))
    (tmp_path / "a").write_bytes(bytes(2000))
    data = json.loads(run("doctor", "--format", "json")[1])
    assert data["cache"] == f"{tmp_path}: 1 files, 2 kB"
    assert data["rates of kernels"].startswith("shipped")
    assert data["packages"]["numpy"] and data["library_usable"]


def test_tables_can_be_read_by_programs(run):
    rows = list(csv.reader(io.StringIO(run("doctor", "--format", "csv")[1])))
    assert rows[0] == ["what", "found"]


def test_it_does_not_import_torch():
    code = (
        "import sys; sys.argv = ['paconv', 'doctor', '-q']\nfrom paconv.cli.main import main\n"
        "try: main()\nexcept SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'matplotlib', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("built", "devices", "said"),
    [
        ("None", 2, "none: this torch is built without it"),
        ("'12.6'", None, "no driver; torch is built for CUDA 12.6"),
        ("'12.6'", 0, "0 devices; torch is built for CUDA 12.6"),
        ("'12.6'", 1, "1 device; torch is built for CUDA 12.6"),
    ],
)
def test_what_there_is_of_cuda_is_said_and_torch_stays_unimported(tmp_path, monkeypatch, built, devices, said):
    (tmp_path / "version.py").write_text(f"__version__ = '2.9.1'\ncuda = {built}\n")
    monkeypatch.setattr(diagnosis, "_cuda_devices", lambda: devices)
    assert diagnosis._cuda(tmp_path) == said
    assert diagnosis._cuda(tmp_path / "nowhere") == "not known"
