"""Images in memory: what an epoch shows of them."""

from __future__ import annotations

import numpy as np
import torch

from paconv.train import InMemory, open_source
from paconv.train.data.in_memory import moved
from paconv.train.data.synthetic import DIRECTIONS, SHAPES, synthetic_images


def test_a_sample_is_the_same_in_any_batch_and_another_in_another_epoch():
    samples = open_source("digits", seed=3).training
    images, labels = samples.batch([(1, 7), (1, 8), (1, 9)])
    assert images.shape == (3, 1, 8, 8) and images.dtype == torch.float32 and labels.dtype == torch.int64
    other, _ = samples.batch([(2, 8)])
    alone, _ = open_source("digits", seed=3).training.batch([(1, 8)])
    assert torch.equal(alone[0], images[1])
    assert not torch.equal(other[0], images[1])
    assert not torch.equal(open_source("digits", seed=4).training.batch([(1, 8)])[0][0], images[1])


def test_held_out_digits_are_shown_as_they_are_and_are_none_of_the_others():
    source = open_source("digits")
    assert len(source.training) == 1347 and len(source.held_out) == 450
    images, _ = source.held_out.batch([(5, i) for i in range(450)])
    assert np.array_equal(images.numpy(), source.held_out.images)
    training = {image.tobytes() for image in source.training.images}
    assert not training & {image.tobytes() for image in source.held_out.images}


def test_images_move_by_whole_pixels_over_the_darkest_value():
    images = np.full((200, 1, 3, 3), 5.0, np.float32)
    images[:, 0, 1, 1] = 9
    images[0, 0, 0, 0] = 2
    found = moved(images, 1, np.random.default_rng(0))
    assert found.shape == images.shape and set(np.unique(found)) == {2, 5, 9}
    assert (found == 9).sum() == 200
    places = {divmod(int(place), 3) for place in found.reshape(200, 9).argmax(1)}
    assert places == {(row, column) for row in range(3) for column in range(3)}
    assert np.array_equal(moved(images, 0, np.random.default_rng(0)), images)


def test_noise_has_the_given_deviation():
    samples = InMemory(np.zeros((500, 1, 8, 8)), np.zeros(500, int), 1, noise=0.3)
    images, _ = samples.batch([(0, i) for i in range(500)])
    # The deviation of 32000 normal values is within 5 standard errors, 0.3 / sqrt(2 * 32000), of 0.3.
    assert abs(images.std().item() - 0.3) < 5 * 0.3 / (2 * 32000) ** 0.5


def test_the_synthetic_set_has_every_shape_with_every_direction():
    source = open_source("synthetic")
    assert len(source.classes) == len(SHAPES) * len(DIRECTIONS) == 16
    images, labels = synthetic_images(1600, 0)
    assert np.bincount(labels).tolist() == [100] * 16
    assert np.array_equal(images, synthetic_images(1600, 0)[0])
    assert not np.array_equal(images, synthetic_images(1600, 1)[0])
    # Without noise a shape's mean over many images is itself, blurred: the ring is dark in the middle, no other is.
    middle = [images[labels // 4 == shape, 0, 7:9, 7:9].mean() for shape in range(4)]
    assert SHAPES[int(np.argmin(middle))] == "ring"
    # Stripes of 0 degrees change along x, those of 90 along y.
    for direction, (across, along) in ((0, (3, 2)), (2, (2, 3))):
        some = images[labels % 4 == direction]
        assert np.abs(np.diff(some, axis=across)).mean() > np.abs(np.diff(some, axis=along)).mean()
