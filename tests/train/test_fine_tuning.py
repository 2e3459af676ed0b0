"""`paconv train --from`: what `paconv quantize` made is trained as it is."""

from __future__ import annotations

import pytest
import torch

import paconv
from paconv.digits_images import held_out_digits, training_digits
from paconv.errors import CheckpointError, UsageError
from paconv.models import digits_resnet
from paconv.nn import PAConv2d, level_report
from paconv.train import Recipe, Settings, train
from paconv.train.data import open_source
from paconv.train.watching import Watcher


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """float/model.pt and quantized.pt, trained on the digits and PA(2,2) of that."""
    made = tmp_path_factory.mktemp("digits")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(Recipe("digits_resnet", Settings(8, seed=1), "float"), open_source("digits", seed=1), made / "float")
    paconv.quantize(made / "float/model.pt", training_digits()[0][:256], 2, 2, checkpoint=made / "quantized.pt")
    torch.set_num_threads(threads)
    return made


def accuracy(model: torch.nn.Module) -> float:
    x, y = map(torch.from_numpy, held_out_digits())
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


def values(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Quantized weights by layer."""
    convs = {name: conv for name, conv in model.named_modules() if isinstance(conv, PAConv2d)}
    return {name: conv.weight_quantizer(conv.weight).detach() for name, conv in convs.items()}


def test_training_makes_it_better_and_moves_some_codes_among_the_same_levels(folder, tmp_path):
    before = paconv.load(folder / "quantized.pt")
    settings = Settings(4, lr=0.001, seed=1)
    history = train(
        Recipe("digits_resnet", settings, start=folder / "quantized.pt"),
        open_source("digits", seed=1),
        tmp_path / "run",
    )
    after = paconv.load(tmp_path / "run/model.pt")
    assert accuracy(after) >= accuracy(before) and history[-1]["held_out_accuracy"] == pytest.approx(accuracy(after))
    old, new = values(before), values(after)
    assert old.keys() == new.keys()
    moved = torch.cat([(old[name] != new[name]).flatten() for name in old]).float().mean().item()
    assert 0 < moved < 0.5
    for name, W in new.items():
        _, levels = before.get_submodule(name).weight_quantizer.endpoints_and_levels(W)
        assert (W[..., None] == levels).any(-1).all(), name
    assert not torch.equal(before.block1.conv1.activation.beta, after.block1.conv1.activation.beta)
    assert all(layer.most is not None for layer in level_report(after).layers)
    paconv.export(tmp_path / "run/model.pt", tmp_path / "model.onnx")
    paconv.optimize(tmp_path / "model.onnx", tmp_path / "pa.onnx")
    assert paconv.verify(tmp_path / "model.onnx", tmp_path / "pa.onnx").ok


def test_without_a_step_that_crosses_an_endpoint_the_codes_stay(folder, tmp_path):
    recipe = Recipe("digits_resnet", Settings(1, lr=1e-9, weight_decay=0.0), start=folder / "quantized.pt")
    train(recipe, open_source("digits", seed=1), tmp_path / "run")
    old, new = (values(paconv.load(path)) for path in (folder / "quantized.pt", tmp_path / "run/model.pt"))
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_an_interrupted_fine_tuning_goes_on_to_the_same_weights(folder, tmp_path):
    recipe = Recipe("digits_resnet", Settings(1, batch_size=256, seed=1), start=folder / "quantized.pt")
    source = open_source("digits", seed=1)
    train(recipe, source, tmp_path / "whole", checkpoint_steps=1)

    class Stopping(Watcher):
        def step(self, progress):
            if progress.step == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, source, tmp_path / "broken", checkpoint_steps=1, watchers=lambda what, folder: [Stopping()])
    assert not (tmp_path / "broken/model.pt").exists()
    train(recipe, source, tmp_path / "broken", resume=True)
    a, b = (paconv.load(tmp_path / name / "model.pt").state_dict() for name in ("whole", "broken"))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_other_checkpoints_are_refused(folder, tmp_path):
    source, settings = open_source("digits"), Settings(1)
    with pytest.raises(CheckpointError, match="found a float one"):
        train(Recipe("digits_resnet", settings, start=folder / "float/model.pt"), source, tmp_path)
    with pytest.raises(CheckpointError, match="expected a checkpoint of resnet18, found one of digits_resnet"):
        train(Recipe("resnet18", settings, start=folder / "quantized.pt"), source, tmp_path)
    paconv.save(paconv.convert(digits_resnet(3)), tmp_path / "three.pt")
    with pytest.raises(CheckpointError, match="it tells 3 classes apart; the data have 10"):
        train(Recipe("digits_resnet", settings, start=tmp_path / "three.pt"), source, tmp_path)
    with pytest.raises(UsageError, match="its own scheme, M and N"):
        Recipe("digits_resnet", settings, options={"M": 4}, start=folder / "quantized.pt")
    with pytest.raises(UsageError, match="no float network comes before it"):
        Recipe("digits_resnet", settings, parent="float.pt", start=folder / "quantized.pt")
