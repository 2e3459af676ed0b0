"""Validation samples out of the training samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from paconv.errors import UsageError
from paconv.train import DataSource, InMemory, open_source
from paconv.train.data.mixed import mixed
from paconv.train.data.splitting import split_for_validation
from tests.train.pictures import image_folder


def numbered(noise: float = 0.5) -> DataSource:
    """Image k is full of k."""
    images = np.broadcast_to(np.arange(20.0)[:, None, None, None], (20, 1, 2, 2))
    training = InMemory(images, np.arange(20) % 4, 4, noise=noise)
    held_out = InMemory(images[:3], np.arange(3), 4)
    return DataSource("numbered", "classification", training, held_out, ("a",) * 4, (1, 2, 2))


def all_of(samples) -> tuple[torch.Tensor, object]:
    return samples.batch([(0, index) for index in range(len(samples))])


def test_a_sample_is_trained_on_or_validated_by_never_both():
    chosen_by, source = split_for_validation(numbered(), 0.25)
    images, labels = all_of(chosen_by.held_out)
    trained, _ = all_of(source.training.plain())
    numbers = torch.cat([images, trained])[:, 0, 0, 0]
    assert len(images) == 5 and sorted(numbers.tolist()) == list(range(20))
    assert torch.equal(labels, images[:, 0, 0, 0].long() % 4)
    assert source.training is chosen_by.training and len(all_of(source.held_out)[0]) == 3


def test_training_samples_stay_augmented_and_validation_samples_are_not():
    whole = numbered()
    _, source = split_for_validation(whole, 0.25)
    noisy, plain = all_of(source.training)[0], all_of(source.training.plain())[0]
    assert not torch.equal(noisy, plain) and torch.equal(plain, plain.round())
    everything = all_of(whole.training)[0]
    assert torch.equal(noisy, everything[source.training.places])


def test_the_split_is_the_same_each_time_and_another_for_another_seed():
    places = [split_for_validation(numbered(), 0.25, seed)[1].training.places for seed in (0, 0, 1)]
    assert places[0] == places[1] != places[2]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 0.01, 0.99])
def test_a_share_that_leaves_a_side_empty_is_refused(share):
    with pytest.raises(UsageError, match="validation: expected a share between 0 and 1 of 20 samples"):
        split_for_validation(numbered(), share)


def test_folders_have_a_plain_view_too(tmp_path):
    image_folder(tmp_path / "images")
    samples = open_source(f"folder:{tmp_path / 'images'}", size=16).training
    assert torch.equal(all_of(samples.plain())[0], samples.plain().batch([(7, i) for i in range(len(samples))])[0])
    assert not torch.equal(all_of(samples.plain())[0], all_of(samples)[0])
    both = mixed([numbered(), numbered()])
    assert torch.equal(all_of(both.training.plain())[0], torch.cat([all_of(numbered(0).training)[0]] * 2))


def test_noisy_digits_have_the_same_noise_each_time():
    first, again, plain = (open_source(spec).held_out.images for spec in ("digits:0.5", "digits:0.5", "digits"))
    assert np.array_equal(first, again)
    noise = first - plain
    # 28800 Gaussian numbers: their standard deviation is 0.5 within 0.5 / sqrt(2 28800) = 0.0021; four of these.
    assert abs(noise.std() - 0.5) < 0.0084
