"""Which releases of torch are tested, and what is said at another."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest

from paconv.tested_torch import NEWEST, OLDEST, warn_if_untested

ROOT = Path(__file__).parents[1]
RANGE = [".".join(map(str, release)) for release in (OLDEST, NEWEST)]


@pytest.mark.parametrize("version", [f"{RANGE[0]}.0", "2.13.0+cpu", f"{RANGE[1]}.1", "2.10.0a0+git1234567"])
def test_a_tested_release_is_used_in_silence(version):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_untested(version)


@pytest.mark.parametrize("version", ["2.8.0+cu126", f"{NEWEST[0]}.{NEWEST[1] + 1}.0", "3.0.0", "1.13.1", "unknown"])
def test_another_release_is_used_with_a_warning_that_names_it_and_the_tested_ones(version):
    with pytest.warns(UserWarning, match=rf"torch {version.replace('+', '.')}: .* {RANGE[0]} to {RANGE[1]} "):
        warn_if_untested(version)


@pytest.mark.parametrize("names", [["load"], ["export"], ["convert", "models", "train", "nn", "save"]], ids=" ".join)
def test_whatever_uses_torch_says_it_once_in_one_line(names):
    code = f"import torch\ntorch.__version__ = '9.9.0'\nimport paconv\nfor name in {names}: getattr(paconv, name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("\n") == 1 and done.stderr.count("torch 9.9.0: ") == 1


def test_the_extra_admits_every_tested_release_and_readme_names_them():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert f"torch>={RANGE[0]}" in extras["torch"]
    assert f"torch {RANGE[0]} to {RANGE[1]}" in " ".join((ROOT / "README.md").read_text().split())
