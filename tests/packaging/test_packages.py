"""pyproject.toml names every package; setuptools does not find them by itself."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_package_is_named_in_pyproject():
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    # The folders behind the two symlinks, which a recursive glob does not follow.
    roots = {ROOT / "paconv": "paconv", ROOT / "kernels": "paconv.kernels", ROOT / "passes": "paconv.passes"}
    found = [
        ".".join([package, *init.parent.relative_to(root).parts])
        for root, package in roots.items()
        for init in root.rglob("__init__.py")
    ]
    assert sorted(set(found)) == sorted(named)


def test_the_symlinks_lead_to_the_folders_at_the_top():
    for name in ("kernels", "passes"):
        assert (ROOT / "paconv" / name).resolve() == ROOT / name
