"""The environment variables: read in one place, and documented there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from paconv.kernels.cpus import CPUS
from paconv.variables import VARIABLES, cache_folder, cpu, given, jit, kernel, markdown

ROOT = Path(__file__).parents[1]
OURS = re.compile(r"(?<![_A-Z])PACONV_[A-Z_]+")


def test_docs_environment_md_is_what_the_variables_say():
    assert (ROOT / "docs/environment.md").read_text(encoding="utf-8") == markdown(), "run `make docs`"


def test_every_cpu_is_named_where_one_can_be_chosen():
    (variable,) = (each for each in VARIABLES if each.name == "PACONV_CPU")
    assert re.findall(r"(?:x86|arm)[-\w.]+", variable.values) == [each.name for each in CPUS]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"`PACONV_CPU=(\S+)` selects the kernels for one CPU \(also ([^)]+)\)", readme)
    in_full = [f"x86-64{name}" if name.startswith("-") else name for name in (listed[0], *re.split(r",\s+", listed[1]))]
    assert sorted(in_full) == sorted(each.name for each in CPUS)


def test_no_other_python_file_reads_one():
    """A name that is a whole string is one to look up; in messages it is a part of one."""
    files = [path for folder in ("paconv", "kernels", "passes") for path in (ROOT / folder).rglob("*.py")]
    reading = {
        path.relative_to(ROOT).as_posix()
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and OURS.fullmatch(node.value)
    }
    assert reading == {"paconv/variables.py"}


def test_those_that_the_library_reads_are_said_to_be():
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "kernels/native").glob("*.[ch]"))
    looked_up = set(re.findall(rf'"({OURS.pattern})"', sources))
    assert looked_up == {variable.name for variable in VARIABLES if "the library" in variable.readers}
    assert "getenv" in sources


def test_every_variable_that_is_spoken_of_exists():
    spoken = set()
    for pattern in ("*.md", "docs/**/*.md", "paconv/**/*.py", "kernels/**/*.[chp]*", "passes/**/*.py", "Makefile"):
        for path in ROOT.glob(pattern):
            if path.suffix in (".md", ".py", ".c", ".h", ""):
                spoken |= set(OURS.findall(path.read_text(encoding="utf-8")))
    assert spoken == {variable.name for variable in VARIABLES}


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_variable_is_as_if_it_were_not_set(monkeypatch, empty):
    for variable in VARIABLES:
        if empty is None:
            monkeypatch.delenv(variable.name, raising=False)
        else:
            monkeypatch.setenv(variable.name, empty)
    assert cpu() is kernel() is None and not jit()
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/paconv")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/paconv")


def test_what_changes_a_measurement_is_kept_with_it(monkeypatch):
    for name in ("PACONV_CPU", "PACONV_KERNEL", "PACONV_JIT", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PACONV_KERNEL", "codes")
    monkeypatch.setenv("PACONV_CACHE", "/somewhere")
    assert given() == {"PACONV_KERNEL": "codes"}
