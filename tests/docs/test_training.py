"""The recipes for other trainers run as they are written, where these are installed."""

import logging
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


@pytest.mark.parametrize("package", ["lightning", "transformers"])
def test_a_recipe_trains_and_leaves_a_checkpoint_on_a_grid(package, tmp_path, monkeypatch):
    pytest.importorskip(package, reason=f"the recipe for {package} is not run: it is not installed")
    import torch

    import paconv
    from paconv.models import digits_resnet
    from paconv.nn import level_report

    monkeypatch.chdir(tmp_path)
    logging.getLogger("lightning").setLevel(logging.ERROR)
    torch.manual_seed(0)
    parent = digits_resnet(width=4)
    images, labels = torch.randn(128, 1, 8, 8), torch.randint(10, (128,))
    names = {"parent": parent, "images": images, "dataset": torch.utils.data.TensorDataset(images, labels)}
    (recipe,) = (
        text
        for text in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        if re.search(rf"^(import|from) {package}\b", text, re.MULTILINE)
    )
    before = paconv.convert(parent, M=4, N=5).state_dict()
    exec(compile(recipe, str(PAGE), "exec"), names)
    found = paconv.load("model.pt", lambda: digits_resnet(width=4))
    assert found.paconv_input_shape == (1, 8, 8) and len(level_report(found).snapped) == len(level_report(found).layers)
    assert not torch.equal(found.state_dict()["block1.conv1.weight"], before["block1.conv1.weight"])
