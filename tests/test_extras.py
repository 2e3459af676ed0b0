"""Without the packages of an extra: one line that tells which to install."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run_without(package: str, code: str) -> subprocess.CompletedProcess:
    block = f"import sys; sys.modules[{package!r}] = None\n"
    return subprocess.run([sys.executable, "-c", block + code], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("command", [["export", "x.pt"], ["cost", "x.pt"]], ids=" ".join)
def test_a_command_that_needs_torch_is_one_line_without_it(command, tmp_path):
    (tmp_path / "x.pt").write_bytes(b"PK\x03\x04")
    command = [command[0], str(tmp_path / command[1])]
    done = run_without("torch", f"sys.argv = ['paconv', *{command!r}]\nfrom paconv.cli.main import main\nmain()")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'paconv: error: needs torch: pip install "paconv[torch]"\n'


@pytest.mark.parametrize(
    ("package", "data"), [("torch", "digits"), ("sklearn", "digits"), ("PIL", "folder:x"), ("PIL", "mnist:x")]
)
def test_training_says_which_extra_it_needs(package, data, tmp_path):
    command = ["train", "--model", "digits_resnet", "--data", data, "-o", str(tmp_path / "run")]
    done = run_without(package, f"sys.argv = ['paconv', *{command!r}]\nfrom paconv.cli.main import main\nmain()")
    extra = {"torch": "torch", "PIL": "images"}.get(package, "train")
    assert done.stderr == f'paconv: error: needs {package}: pip install "paconv[{extra}]"\n'
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize(("package", "extra"), [("torch", "torch"), ("scipy", "train")])
def test_comparing_says_which_extra_it_needs_before_anything_is_trained(package, extra, tmp_path):
    command = ["compare", "-o", str(tmp_path / "c")]
    done = run_without(package, f"sys.argv = ['paconv', *{command!r}]\nfrom paconv.cli.main import main\nmain()")
    assert done.stderr == f'paconv: error: needs {package}: pip install "paconv[{extra}]"\n'
    assert (done.returncode, done.stdout) == (1, "") and not (tmp_path / "c").exists()


@pytest.mark.parametrize("name", ["compare", "convert", "export", "load", "save", "models", "nn", "train"])
def test_what_needs_torch_says_so_without_it(name):
    code = f"import paconv\ntry:\n    paconv.{name}\nexcept paconv.PaconvError as error:\n    print(error)"
    done = run_without("torch", code)
    assert done.stdout == f'paconv.{name} needs torch: pip install "paconv[torch]"\n', done.stderr


def test_what_serves_needs_no_torch():
    done = run_without("torch", "import paconv\npaconv.InferenceSession, paconv.optimize, paconv.verify")
    assert done.returncode == 0, done.stderr


def test_what_comes_before_quantizing_a_file_needs_no_torch():
    code = "import paconv.onnx_file.plain, paconv.quantization.plan, paconv.samples.loading, paconv.samples.pictures"
    done = run_without("torch", code)
    assert done.returncode == 0, done.stderr


def test_another_missing_module_stays_what_it_is():
    done = run_without("paconv.pipeline", "import paconv\npaconv.optimize")
    assert "ModuleNotFoundError" in done.stderr and "pip install" not in done.stderr
