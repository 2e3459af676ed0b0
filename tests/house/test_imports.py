"""Imports between the rooms of paconv go down alone, and nothing inside imports what is offered to users.

A room is a folder or a module right under paconv, the symlinked kernels and passes among them. Every import counts,
also one inside a function or for a type checker.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FLOORS = (
    ("__main__",),
    ("cli",),
    ("model_report", "studies"),
    ("bench", "conversion"),
    ("cost",),
    ("quantization",),
    ("to_onnx", "train", "verification"),
    ("checkpoint", "deployment", "measure", "pipeline"),
    ("models", "network", "runtime"),
    ("library_build", "nn", "passes"),
    ("kernels", "onnx_file", "reference"),
    ("lloyd_max", "ops", "reporting", "schemes"),
    ("bits", "extras", "files", "folder_lock", "gaussian", "grid", "input_shape", "samples"),
    ("_version", "cores", "digits_images", "errors", "near", "tested_torch", "variables"),
)
"""The rooms, highest floor first. A room imports from lower floors only: not from above, not from its neighbours."""

FACADES = ("paconv", "paconv.nn")
"""Packages whose names are gathered for users, from any floor. Inside, a name is imported from its own module."""


def modules() -> dict[str, Path]:
    """Name -> file of every module, those behind the two symlinks by the names that they are imported by."""
    roots = {"paconv": ROOT / "paconv", "paconv.kernels": ROOT / "kernels", "paconv.passes": ROOT / "passes"}
    found = {}
    for package, root in roots.items():
        for path in root.rglob("*.py"):  # does not follow symlinks
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join([package, *(parts[:-1] if parts[-1] == "__init__" else parts)])] = path
    return found


MODULES = modules()


def imports(source: str) -> Iterator[str]:
    """What of paconv a module's text imports, once for each import: modules, and packages of which it takes a name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == "paconv")
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import"
            package = node.module or ""
            if package.partition(".")[0] == "paconv":
                for alias in node.names:
                    name = f"{package}.{alias.name}"
                    yield name if name in MODULES else package


def room(module: str) -> str:
    return ([*module.split("."), ""])[1]


ARROWS = [(name, target) for name, path in MODULES.items() for target in imports(path.read_text(encoding="utf-8"))]


def test_every_room_has_its_place_and_every_place_its_room():
    listed = [name for floor in FLOORS for name in floor]
    assert sorted(listed) == sorted({room(name) for name in MODULES} - {""})


@pytest.mark.parametrize("facade", FACADES)
def test_nothing_inside_imports_what_is_gathered_for_users(facade):
    assert [module for module, target in ARROWS if target == facade] == []


def test_imports_go_down():
    height = {name: number for number, floor in enumerate(reversed(FLOORS)) for name in floor}
    inside = [(a, b) for a, b in ARROWS if not {a, b} & {*FACADES} and room(a) != room(b)]
    assert [f"{a} -> {b}" for a, b in inside if height[room(b)] >= height[room(a)]] == []


def test_no_files_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {}
    for module, target in ARROWS:
        if module not in FACADES:
            graph.setdefault(module, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_the_walk_sees_imports_in_functions_of_several_names_and_behind_the_symlinks():
    text = "import paconv\ndef f():\n    from paconv import bits, optimize\n    from paconv.errors import PaconvError\n"
    assert list(imports(text)) == ["paconv", "paconv.bits", "paconv", "paconv.errors"]
    assert list(imports("import os, paconv.grid\nfrom paconv_tools import x")) == ["paconv.grid"]
    assert ("paconv.runtime.library", "paconv.kernels.native") in ARROWS
    assert {"paconv.kernels.native", "paconv.passes.graph.model_graph"} <= MODULES.keys()
