"""The recipes for other trainers run as they are written, where these are installed."""

import logging
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def with_lightning(dataset) -> dict:
    """What the page takes from the float training."""
    import lightning
    import torch

    from paconv.nn import parameter_groups

    class Classifier(lightning.LightningModule):
        def training_step(self, batch, _):
            return torch.nn.functional.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.AdamW(parameter_groups(self.model, lr=2e-3, weight_decay=1e-2))

    return {"module": Classifier(), "loader": torch.utils.data.DataLoader(dataset, batch_size=64)}


def with_transformers(dataset) -> dict:
    """The same."""
    import torch
    from transformers import TrainingArguments

    class WithLoss(torch.nn.Module):
        def forward(self, pixel_values, labels):
            logits = self.model(pixel_values)
            return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}

    def collate(pairs):
        return {"pixel_values": torch.stack([x for x, _ in pairs]), "labels": torch.stack([y for _, y in pairs])}

    arguments = TrainingArguments(
        "run", num_train_epochs=2, learning_rate=2e-3, per_device_train_batch_size=64, save_strategy="no",
        report_to="none", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    return {"module": WithLoss(), "arguments": arguments, "collate": collate, "dataset": dataset}


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
    dataset = torch.utils.data.TensorDataset(images, labels)
    taken = {"lightning": with_lightning, "transformers": with_transformers}[package](dataset)
    names = {"parent": parent, "images": images, **taken}
    (recipe,) = (
        text
        for text in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        if re.search(rf"^(import|from) {package}\b", text, re.MULTILINE)
    )
    assert len([line for line in recipe.splitlines() if line]) <= 12
    before = paconv.convert(parent, M=4, N=5).state_dict()
    exec(compile(recipe, str(PAGE), "exec"), names)
    found = paconv.load("model.pt", lambda: digits_resnet(width=4))
    assert found.paconv_input_shape == (1, 8, 8) and len(level_report(found).snapped) == len(level_report(found).layers)
    assert not torch.equal(found.state_dict()["block1.conv1.weight"], before["block1.conv1.weight"])
