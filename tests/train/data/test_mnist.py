"""MNIST as a source to train on."""

from __future__ import annotations

import numpy as np
import pytest

from paconv.errors import UsageError
from paconv.samples.loading import load_samples
from paconv.train import open_source
from tests.samples.idx import mnist_folder


def test_training_sees_the_values_that_quantizing_sees(tmp_path):
    source = open_source(f"mnist:{mnist_folder(tmp_path)}")
    assert (len(source.training), len(source.held_out), source.input_shape) == (12, 5, (1, 28, 28))
    images, labels = source.training.plain().batch([(0, i) for i in range(12)])
    samples = load_samples(f"mnist:{tmp_path}", [("x", ("n", 1, 28, 28), np.float32)])["x"]
    # A division by 255 against a product with its rounded inverse: two roundings of values up to 1.
    assert np.allclose(images.numpy(), samples, rtol=0, atol=2 * 2**-24)
    assert labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_the_size_is_the_networks(tmp_path):
    assert open_source(f"mnist:{mnist_folder(tmp_path)}", size=14).training.plain().images.shape == (12, 1, 14, 14)


def test_a_source_without_a_folder_is_refused():
    with pytest.raises(UsageError, match="expected mnist:PATH, found 'mnist:'"):
        open_source("mnist:")
