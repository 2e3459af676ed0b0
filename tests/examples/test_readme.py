"""README's walk from a float network to a served pa.onnx, run as it is written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_files_and_commands_of_your_own_model_run_as_written(tmp_path):
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Your own model")[2].partition("\n## ")[0]
    for name, text in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", section, re.DOTALL):
        (tmp_path / name).write_text(text)
    (commands,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    python = f'"{sys.executable}"'
    script = re.sub("^python ", f"{python} ", commands, flags=re.MULTILINE)
    script = re.sub("^paconv ", f"{python} -m paconv ", script, flags=re.MULTILINE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-e", "-x", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 PABitConv" in done.stdout and "verified" in done.stdout
