"""`fit`: what decides the result, and what doesn't."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import nn

import paconv
from paconv.errors import DataError, UsageError
from paconv.models import digits_resnet
from paconv.nn import level_report
from paconv.nn.quantizers import LEAST_GAP, PAActivation
from paconv.train import DataSource, InMemory, Settings, Watcher, fit, open_source
from paconv.train.optimizers import make_optimizer
from paconv.train.schedules import learning_rate
from tests.train.joint_fit import small_source


def trained(settings: Settings, **options) -> tuple[list[dict], dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = paconv.convert(digits_resnet(4, width=4), M=4, N=3)
    return fit(model, small_source(), settings, **options), model.state_dict()


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_the_same_seed_gives_the_same_weights_with_or_without_workers_and_another_seed_others():
    history, weights = trained(Settings(2, batch_size=16))
    again, same = trained(Settings(2, batch_size=16), workers=2)
    assert again == history and equal(same, weights)
    assert not equal(trained(Settings(2, batch_size=16, seed=1))[1], weights)


def test_the_last_measures_are_of_levels_on_the_grid_which_training_does_not_see():
    found = {}
    for grid in ("default", (1, 2), None):
        torch.manual_seed(0)
        model = paconv.convert(digits_resnet(4, width=4), M=4, N=3)
        history = fit(model, small_source(), Settings(2, batch_size=16), grid=grid)
        source = small_source()
        logits = model(source.held_out.batch([(0, i) for i in range(16)])[0])
        labels = source.held_out.labels
        assert abs(history[-1]["held_out_loss"] - nn.functional.cross_entropy(logits, labels).item()) < 1e-5
        found[grid] = history, dict(model.named_parameters()), level_report(model)
    first = found[None]
    for history, parameters, report in found.values():
        assert history[0] == first[0][0] and history[1]["loss"] == first[0][1]["loss"]
        assert equal(parameters, first[1])
        assert bool(report.snapped) == bool(report.counted) == (report is not first[2])
    assert len({history[-1]["held_out_loss"] for history, *_ in found.values()}) == 3


def test_digits_are_learnt():
    torch.manual_seed(0)
    model = digits_resnet()
    last = fit(model, open_source("digits"), Settings(2))[-1]
    assert last["held_out_accuracy"] > 0.7
    assert not model.training


def test_endpoints_stay_admissible_and_are_trained():
    torch.manual_seed(0)
    model = paconv.convert(digits_resnet(4, width=4), M=4, N=3)
    quantizers = [module for module in model.modules() if isinstance(module, PAActivation)]
    before = [(each.v.clone(), each.beta.clone()) for each in quantizers]
    fit(model, small_source(), Settings(1, batch_size=16, lr=0.3))
    for each, (v, beta) in zip(quantizers, before, strict=True):
        assert not torch.equal(each.v, v) and not torch.equal(each.beta, beta)
        assert each.v[0] >= LEAST_GAP and (each.v.diff() > 0).all()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_weight_decay_leaves_endpoints_and_levels_alone(optimizer):
    model = paconv.convert(digits_resnet(4, width=4), M=4, N=3)
    made = make_optimizer(model, Settings(1, optimizer=optimizer, weight_decay=0.5).resolved())
    decay = {id(p): group["weight_decay"] for group in made.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert decay[id(parameter)] == (0 if name.endswith((".v", ".beta")) else 0.5), name


def test_watchers_are_told_of_every_step():
    class Count(Watcher):
        def __init__(self):
            self.told = []

        def begin(self, step):
            self.told.append(("begin", step))

        def step(self, progress):
            self.told.append((progress.epoch, progress.step, progress.total_step))
            assert progress.steps == 4 and progress.epochs == 2 and progress.rate > 0
            assert 0 <= progress.accuracy <= 1 and math.isfinite(progress.loss)

        def epoch(self, progress, measures):
            assert measures["loss"] == progress.loss

        def end(self):
            self.told.append("end")

    count = Count()
    trained(Settings(2, batch_size=16), watchers=[count])
    steps = [(e, s, (e - 1) * 4 + s) for e in (1, 2) for s in (1, 2, 3, 4)]
    assert count.told == [("begin", 0), *steps, "end"]


def test_the_global_numpy_and_python_random_numbers_are_seeded_too():
    class Draw(Watcher):
        def step(self, progress):
            self.drawn = np.random.random(), torch.rand(()).item()

    a, b = Draw(), Draw()
    trained(Settings(1, batch_size=16), watchers=[a])
    trained(Settings(1, batch_size=16), watchers=[b])
    assert a.drawn == b.drawn


def test_a_model_for_other_classes_or_images_is_refused():
    with pytest.raises(UsageError, match="tells 10 classes apart, but small has 4"):
        fit(digits_resnet(10, width=4), small_source(), Settings(1, batch_size=16))
    with pytest.raises(UsageError, match=r"doesn't take images \(1, 8, 8\) of small"):
        fit(torch.nn.Conv2d(3, 4, 3), small_source(), Settings(1, batch_size=16))


@pytest.mark.parametrize("labels", [[0, 1, 4], [0, -1, 2]])
def test_labels_out_of_range_are_refused(labels):
    with pytest.raises(DataError, match="expected labels from 0 to 3; found"):
        InMemory(np.zeros((3, 1, 8, 8)), np.array(labels), 4)


def test_data_without_samples_are_refused():
    nothing = InMemory(np.zeros((0, 1, 8, 8)), np.zeros(0, int), 4)
    with pytest.raises(DataError, match="nothing: expected samples to train on, found none"):
        DataSource("nothing", "classification", nothing, None, ("a",) * 4, (1, 8, 8))


def test_without_held_out_samples_there_are_no_measures_of_them():
    source = small_source()
    alone = DataSource("alone", source.task, source.training, None, source.classes, source.input_shape)
    (measures,) = fit(digits_resnet(4, width=4), alone, Settings(1, batch_size=16))
    assert measures.keys() == {"epoch", "loss", "accuracy"}


@hypothesis_settings(derandomize=True, deadline=None)
@given(
    epochs=st.integers(1, 20),
    steps=st.integers(1, 50),
    warmup=st.floats(0, 1),
    schedule=st.sampled_from(["cosine", "step"]),
)
def test_the_rate_rises_in_the_warm_up_and_never_after(epochs, steps, warmup, schedule):
    settings = Settings(epochs, lr=0.5, schedule=schedule, warmup=warmup * epochs).resolved()
    rates = [learning_rate(settings, step, steps) for step in range(epochs * steps)]
    warm = math.ceil(warmup * epochs * steps)
    assert all(0 <= rate <= 0.5 for rate in rates)
    assert all(a <= b for a, b in zip(rates[:warm], rates[1:warm], strict=False))
    assert all(a >= b for a, b in zip(rates[warm:], rates[warm + 1 :], strict=False))


def test_the_schedules_at_known_points():
    cosine = Settings(4, lr=0.5).resolved()
    assert [learning_rate(cosine, step, 1) for step in (0, 2)] == [0.5, pytest.approx(0.25, rel=2**-50)]
    step = Settings(9, lr=0.5, schedule="step", decay=0.5).resolved()
    assert [learning_rate(step, epoch * 7, 7) for epoch in range(9)] == [0.5] * 3 + [0.25] * 3 + [0.125] * 3


@pytest.mark.parametrize(
    "change",
    [{"epochs": 0}, {"epochs": 1.5}, {"lr": -1}, {"momentum": 2}, {"decay": math.inf}, {"warmup": 3}, {"seed": True}],
)
def test_settings_without_meaning_are_refused(change):
    (name,) = change
    with pytest.raises(UsageError, match=f"^{name} must be"):
        Settings(**{"epochs": 2, **change})


def test_samples_alone_are_no_source():
    with pytest.raises(UsageError, match="source: expected a DataSource, found InMemory"):
        fit(digits_resnet(4, width=4), small_source().training, Settings(1))


def test_a_training_that_fails_before_its_first_step_leaves_nothing_to_go_on_with(tmp_path):
    """So that the same command works once the sample is repaired."""
    source = small_source()

    class Damaged(InMemory):
        def batch(self, keys):
            if len(keys) > 1:
                raise DataError("3.jpg: the image is damaged")
            return super().batch(keys)

    whole = source.training
    damaged = Damaged(whole.images, whole.labels.numpy(), 4)
    broken = DataSource("broken", "classification", damaged, None, source.classes, source.input_shape)
    with pytest.raises(DataError, match="3.jpg"):
        fit(digits_resnet(4, width=4), broken, Settings(1, batch_size=16), output=tmp_path / "run")
    history = fit(digits_resnet(4, width=4), source, Settings(1, batch_size=16), output=tmp_path / "run")
    assert len(history) == 1
