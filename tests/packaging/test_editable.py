"""An editable install is found from everywhere, from the folder that holds a clone named paconv too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = """
import paconv
import paconv.kernels.native
import paconv.passes.graph.graph_pass
print(paconv.__file__)
"""


def run_script(folder: Path) -> subprocess.CompletedProcess:
    """Run SCRIPT as a file of `folder`, from another folder, with what is installed alone."""
    (folder / "script.py").write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, folder / "script.py"], cwd="/", env=environment, capture_output=True, text=True, check=False
    )


def test_a_script_beside_a_clone_named_paconv_gets_the_package_and_not_the_clones_folder(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    found = run_script(tmp_path / "elsewhere")
    if "No module named 'paconv'" in found.stderr:
        pytest.skip("paconv is not installed in this environment: the tests run from its folder")
    (tmp_path / "paconv").symlink_to(ROOT, target_is_directory=True)
    beside = run_script(tmp_path)
    assert (beside.returncode, beside.stderr) == (0, "")
    assert beside.stdout == found.stdout == f"{ROOT / 'paconv/__init__.py'}\n"
