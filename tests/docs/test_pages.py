"""What the pages for contributors refer to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.test_imports import FLOORS

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{page}" for page in (
    "README.md", "architecture.md", "deploy.md", "environment.md", "paper.md",
)))  # fmt: skip
FOLDERS = ("paconv", "kernels", "passes", "tests", "docs", "examples")


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text(page))
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_are_named_exist(page):
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./]*)`", text(page))
    assert named and [path for path in named if not (ROOT / path).exists()] == []


def test_the_page_of_the_kernels_has_every_file_of_theirs():
    files = [path for path in (ROOT / "kernels").rglob("*.[chp]*") if path.suffix in (".py", ".c", ".h")]
    page = text("kernels/README.md")
    named = {path.stem for path in files if re.search(rf"\b{path.stem}\b", page)} | {"__init__"}
    assert sorted(path.name for path in files if path.stem not in named) == []
    spoken = [f"{stem}.{kind}" for stem, kinds in re.findall(r"`(?:\w+/)*(\w+)\.(py|c|h|\[ch\])`", page) for kind in
              (("c", "h") if kinds == "[ch]" else (kinds,))]  # fmt: skip
    assert len(spoken) > 20 and set(spoken) <= {path.name for path in files}


def test_the_index_has_every_page():
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    pages |= {f"{path.parent.name}/README.md" for path in (ROOT / "docs").glob("*/README.md")}
    assert pages <= set(re.findall(r"\]\(([^)]+)\)", text("docs/README.md")))


def test_every_room_says_what_it_promises():
    table = text("docs/architecture.md").partition("## The rooms")[2].partition("## Imports go down")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    rooms = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {name for floor in FLOORS for name in floor} - {"__main__"} <= rooms
