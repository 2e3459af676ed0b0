"""Samples from arrays, pictures and MNIST: what a network gets, and the line that tells what doesn't fit."""

from __future__ import annotations

import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from paconv.errors import DataError, UsageError
from paconv.samples.loading import load_samples
from paconv.verification.inputs import read_inputs
from tests.samples.idx import mnist_folder

COLOR = [("x", ("batch", 3, 8, 8), np.float32)]
GREY = [("x", ("batch", 1, 8, 8), np.float32)]
FREE = [("x", ("batch", 3, "h", "w"), np.float32)]
PAIR = [("left", ("n", 2), np.float32), ("right", ("n",), np.int64)]


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def pictures(folder, count: int = 5, size: tuple[int, int] = (8, 8)):
    draw = np.random.default_rng(1)
    made = draw.integers(0, 256, (count, *size, 3)).astype(np.uint8)
    for index, values in enumerate(made):
        (folder / f"{index % 2}").mkdir(exist_ok=True)
        Image.fromarray(values).save(folder / f"{index % 2}" / f"{index}.png")
    return made[[0, 2, 4, 1, 3]] if count == 5 else made


def test_arrays_of_floats_are_taken_as_they_are_by_the_name_of_the_input(tmp_path):
    images, labels = floats(6, 3, 8, 8), np.arange(6)
    np.savez(tmp_path / "d.npz", x=images, y=labels)
    found = load_samples(tmp_path / "d.npz", COLOR)
    assert list(found) == ["x"] and np.array_equal(found["x"], images) and found["x"].dtype == np.float32
    assert np.array_equal(load_samples(tmp_path / "d.npz", [("x", COLOR[0][1], np.float64)])["x"], images)


def test_the_only_array_is_that_of_the_only_input(tmp_path):
    images = floats(6, 3, 8, 8)
    np.savez(tmp_path / "d.npz", images)
    np.save(tmp_path / "d.npy", images)
    sources = (tmp_path / "d.npz", str(tmp_path / "d.npy"), images, {"any": images}, [images[:4], images[4:]])
    for source in sources:
        assert np.array_equal(load_samples(source, COLOR)["x"], images)


def test_batches_are_taken_as_data_loaders_give_them_up_to_the_count():
    images, labels = floats(6, 3, 8, 8), np.arange(6)

    def loader():
        yield images[:4], labels[:4]
        yield images[4:], labels[4:]
        pytest.fail("more was read than needed")

    assert np.array_equal(load_samples(loader(), COLOR, count=5)["x"], images[:5])
    assert np.array_equal(load_samples([{"x": images}], COLOR)["x"], images)


def test_of_many_samples_some_are_drawn_by_the_seed_in_their_order():
    images = np.arange(100 * 192, dtype=np.float32).reshape(100, 3, 8, 8)
    found = load_samples(images, COLOR, count=10, seed=3)["x"]
    again = load_samples(images, COLOR, count=10, seed=3)["x"]
    other = load_samples(images, COLOR, count=10, seed=4)["x"]
    firsts = found[:, 0, 0, 0]
    assert np.array_equal(found, again) and not np.array_equal(found, other)
    assert len(firsts) == 10 and (np.diff(firsts) > 0).all()
    assert len(load_samples(images, COLOR)["x"]) == 100


def test_inputs_of_several_names_keep_their_samples_together():
    found = load_samples({"left": np.arange(40.0).reshape(20, 2), "right": 2 * np.arange(20)}, PAIR, count=7)
    assert np.array_equal(found["left"][:, 0], found["right"]) and found["right"].dtype == np.int64


def test_bytes_are_scaled_for_a_network_of_floats_and_kept_for_one_of_bytes():
    raw = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8)).astype(np.uint8)
    # Three roundings of values below 1: a relative error of 2**-24 each.
    assert np.allclose(load_samples(raw, COLOR)["x"], raw / 255, rtol=0, atol=3 * 2**-24)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    found = load_samples(raw, COLOR, mean=mean, std=std)["x"]
    exact = (raw / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    # Product and offset are below 5, each with its own rounding and that of its factor, and so is their sum.
    assert np.allclose(found, exact, rtol=0, atol=5 * 5 * 2**-24) and found.dtype == np.float32
    assert np.array_equal(load_samples(raw, [("x", COLOR[0][1], np.uint8)])["x"], raw)


def test_pictures_of_a_folder_become_what_the_network_reads(tmp_path):
    made = pictures(tmp_path)
    found = load_samples(tmp_path, COLOR)["x"]
    assert np.array_equal(np.rint(found * 255), made.transpose(0, 3, 1, 2)) and found.dtype == np.float32
    last = load_samples(tmp_path, [("x", (1, 8, 8, 3), np.uint8)])["x"]
    assert np.array_equal(last, made)
    grey = load_samples(tmp_path, GREY, mean=0.5, std=0.5)["x"]
    assert grey.shape == (5, 1, 8, 8) and -1 <= grey.min() < 0 < grey.max() <= 1
    assert load_samples(tmp_path, FREE, size=(4, 6))["x"].shape == (5, 3, 4, 6)
    assert len(load_samples(tmp_path, COLOR, count=3)["x"]) == 3


def test_mnist_is_resized_and_has_as_many_channels_as_the_network_reads(tmp_path):
    mnist_folder(tmp_path)
    whole = load_samples(f"mnist:{tmp_path}", [("x", ("n", 1, "h", "w"), np.float32)])["x"]
    assert whole.shape == (12, 1, 28, 28) and 0 <= whole.min() and whole.max() <= 1
    found = load_samples(f"mnist:{tmp_path}", COLOR, count=4, seed=1)["x"]
    assert found.shape == (4, 3, 8, 8) and np.array_equal(found[:, 0], found[:, 2])


X = floats(4, 3, 8, 8)


@pytest.mark.parametrize(
    ("data", "inputs", "message"),
    [
        (np.arange(9), COLOR, "found 9 whole numbers of type int64, which look like labels; no labels are needed"),
        (floats(4, 1, 8, 8), COLOR, "expected samples (S, 3, 8, 8) for input x, found (4, 1, 8, 8)"),
        (floats(4, 8, 8, 3), COLOR, "the channels are last there: give array.transpose(0, 3, 1, 2)"),
        (floats(3, 8, 8), COLOR, "found (3, 8, 8); it is a single sample: give array[None]"),
        (floats(4, 8, 8), GREY, "it has no axis of channels: give array[:, None]"),
        (X.astype(np.int64), COLOR, "expected float32 values for input x, found int64; give floats"),
        (np.array([["a"]]), [("x", ("n", 1), np.float32)], "expected float32 values for input x, found <U1"),
        (X[:0], COLOR, "expected at least 1 sample, found none"),
        ([], COLOR, "expected at least 1 batch, found none"),
        ([{"a": X}, {"b": X}], COLOR, "expected the same inputs in each batch, found b after a"),
        ([X, X[:, :, :4]], COLOR, "expected batches of samples of one shape"),
        ({"a": X, "b": X}, COLOR, "expected arrays named x, found a, b; save them with np.savez(FILE, x=...)"),
        (X, PAIR, "expected arrays named left, right, found one without a name"),
        ({"left": floats(4, 2), "right": np.arange(3)}, PAIR, "as many samples for each input, found 4 of left, 3 of"),
        (np.where(X == X[2, 1, 3, 3], np.nan, X), COLOR, "in 1 of 4 samples, the first of them sample 2"),
        (np.full((2, 3, 8, 8), 1e300), COLOR, "NaN or infinity in 2 of 2 samples"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_get_a_line(data, inputs, message):
    with pytest.raises(DataError, match=re.escape(message)):
        load_samples(data, inputs)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (PAIR, {}, "pictures fill one input, the network has 2 (left, right); give an .npz file"),
        ([("x", ("n", 5, 8, 8), np.float32)], {}, "1 or 3 channels of a picture, found input x of (S, 5, 8, 8)"),
        ([("x", ("n", 64), np.float32)], {}, "found input x of (S, 64)"),
        ([("x", ("n", 3, 8, 8), np.int64)], {}, "reads floats or bytes, found input x of int64"),
        (FREE, {}, "input x takes pictures of any size; give a size"),
        (COLOR, {"size": 9}, "input x takes pictures of 8x8 (height x width), found 9"),
        (COLOR, {"mean": (0, 0)}, "mean: expected 1 value or 3, for the channels of input x, found 2"),
        (COLOR, {"std": 0}, "std: expected values above 0, up to 1, found 0"),
        (COLOR, {"std": (0.2, 58, 0.2)}, "std: expected values above 0, up to 1, found 0.2,58,0.2; bytes are taken"),
        (COLOR, {"mean": 123}, "mean: expected values from 0 to 1, found 123; bytes are taken as fractions of 255"),
        (COLOR, {"mean": -0.1}, "mean: expected values from 0 to 1, found -0.1"),
        (COLOR, {"mean": ()}, "mean: expected a value for all channels or one a channel, found ()"),
        (FREE, {"size": 99999999}, "pictures of at most 268435456 values, found 99999999x99999999 (height x width)"),
        (COLOR, {"count": 0}, "expected at least 1 sample to be asked for, found 0"),
        ([("x", ("n", 3, 8, 8), np.uint8)], {"mean": 0.5}, "mean and std are for bytes (uint8) that a network of"),
    ],
)  # fmt: skip
def test_pictures_that_do_not_fit_get_a_line(tmp_path, inputs, options, message):
    pictures(tmp_path)
    with pytest.raises((DataError, UsageError), match=re.escape(message)):
        load_samples(tmp_path, inputs, **options)


def test_files_that_hold_no_samples_get_a_line(tmp_path):
    for name, content in (
        ("x.txt", b""),
        ("x.npz", b"no archive"),
        ("y.npz", b""),
        ("x.npy", b"\x93NUMPY"),
        ("e/x", b""),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "o.npy", np.array([{}], object))
    for name, message in {
        "none": "none: no such file or folder; expected a folder of pictures, an .npz or .npy file, or mnist:FOLDER",
        "x.txt": "found a file of another kind",
        "x.npz": "x.npz: cannot be read as NumPy's arrays",
        "y.npz": "y.npz: cannot be read as NumPy's arrays",
        "x.npy": "x.npy: cannot be read as NumPy's arrays",
        "o.npy": "o.npy: cannot be read as NumPy's arrays",
        "e": "e: expected pictures (.bmp, .jpeg, .jpg, .png, .webp) in it or below, found none",
    }.items():
        with pytest.raises(DataError, match=re.escape(message)):
            load_samples(tmp_path / name, COLOR)


def test_options_of_bytes_and_pictures_are_refused_for_arrays_of_floats():
    with pytest.raises(UsageError, match="mean and std are for bytes"):
        load_samples(X, COLOR, std=0.5)
    with pytest.raises(UsageError, match="a size is for pictures"):
        load_samples(X, COLOR, size=8)
    with pytest.raises(UsageError, match="expected a folder of pictures.*; found int"):
        load_samples(5, COLOR)


def header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [header((1 << 40, 3, 8, 8)), header((-1, 3, 8, 8)), b"\x93NUMPY\x01\x00\x10\x00((((((((((((((((", b"\x93NUMPY\x09"],
    ids=["promises 256 TiB", "negative size", "no Python", "unknown version"],
)
@pytest.mark.parametrize("read", [lambda path: load_samples(path, COLOR), read_inputs], ids=["quantize", "verify"])
def test_damaged_headers_in_an_archive_get_a_line(tmp_path, content, read):
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises((DataError, UsageError), match=r"d\.npz: (cannot be read|expected an \.npz file)") as caught:
        read(tmp_path / "d.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [lambda path: load_samples(path, COLOR), read_inputs], ids=["quantize", "verify"])
def test_an_archive_with_any_byte_damaged_is_read_or_refused(tmp_path, read):
    file, path, refused = io.BytesIO(), tmp_path / "d.npz", 0
    np.savez_compressed(file, x=X)
    for at in range(0, len(file.getvalue()), 23):
        damaged = bytearray(file.getvalue())
        damaged[at] ^= 0x55
        path.write_bytes(damaged)
        try:
            read(path)
        except (DataError, UsageError):
            refused += 1
    assert refused > 50  # what isn't checked by the archive are dates and the like
