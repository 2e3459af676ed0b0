"""Pictures in a folder: which are found, how they are cut, what is said of damaged ones."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest
from PIL import Image

from paconv.errors import DataError
from paconv.samples.pictures import fitted, pictures_below, read_picture


def picture(height: int, width: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows, columns, rows + columns], -1).astype(np.uint8))


def test_pictures_are_found_in_folders_below_sorted_by_path_without_hidden_ones(tmp_path):
    for name in ("b.png", "a/z.JPG", "a/y.webp", "a.bmp", ".hidden/x.png", ".x.png", "notes.txt", "a/w.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [path.relative_to(tmp_path).as_posix() for path in pictures_below(tmp_path)]
    assert found == ["a.bmp", "a/y.webp", "a/z.JPG", "b.png"]


def test_a_picture_of_the_wanted_size_stays_as_it_is():
    image = picture(6, 9)
    assert fitted(image, 6, 9) is image


def test_the_middle_is_cut_from_the_longer_side():
    wide = np.asarray(fitted(picture(10, 30), 10, 10))
    assert np.array_equal(wide, np.asarray(picture(10, 30))[:, 10:20])
    high = np.asarray(fitted(picture(40, 10), 20, 10))
    assert np.array_equal(high, np.asarray(picture(40, 10))[10:30])


def test_the_shorter_side_is_resized_over_all_pixels_that_one_covers():
    values = np.zeros((8, 8), np.uint8)
    values[::2] = 200  # every other row: means of whole rows, but for the border
    found = np.asarray(fitted(Image.fromarray(values), 4, 4))
    # A bilinear window covers two rows on each side of a pixel's middle with weights 1, 3, 3, 1.
    assert np.array_equal(found[1:3], np.full((2, 4), 100))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_each_format_is_read_in_color_and_in_grey(tmp_path, suffix):
    picture(5, 7).save(tmp_path / f"x.{suffix}")
    assert np.asarray(read_picture(tmp_path / f"x.{suffix}")).shape == (5, 7, 3)
    assert np.asarray(read_picture(tmp_path / f"x.{suffix}", "L")).shape == (5, 7)


def test_a_damaged_picture_and_one_of_another_format_are_named(tmp_path):
    picture(50, 70).save(tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"x\.png: the image is damaged"):
        read_picture(tmp_path / "x.png")
    picture(5, 7).save(tmp_path / "y.gif")
    (tmp_path / "y.gif").rename(tmp_path / "y.png")
    with pytest.raises(DataError, match=r"y\.png: expected an image, found something else"):
        read_picture(tmp_path / "y.png")


def test_a_picture_too_large_to_be_one_is_named(tmp_path, monkeypatch):
    picture(50, 70).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"x\.png: Image size \(3500 pixels\) exceeds limit"):
        read_picture(tmp_path / "x.png")


def test_postscript_under_another_name_starts_no_program(tmp_path, monkeypatch):
    """Pillow runs `gs` to draw it."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\necho ran > {tmp_path}/ran\nexit 1\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    drawing = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "x.jpg").write_bytes(drawing)
    with pytest.raises(DataError, match=r"x\.jpg: expected an image, found something else"):
        read_picture(tmp_path / "x.jpg")
    assert not (tmp_path / "ran").exists()


def test_a_picture_of_too_many_pixels_gets_a_line_and_a_large_one_no_warning(tmp_path, monkeypatch, recwarn):
    picture(50, 70).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # Pillow warns from there on, and refuses twice that
    assert read_picture(tmp_path / "x.png").size == (70, 50) and not recwarn.list
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"x\.png: Image size \(3500 pixels\) exceeds limit of 2000 pixels"):
        read_picture(tmp_path / "x.png")


@pytest.mark.parametrize("error", [MemoryError, IndexError("list index out of range"), struct.error("unpack requires")])
def test_a_decoder_that_fails_in_any_way_gets_a_line(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    picture(5, 7).save(tmp_path / "x.png")
    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(DataError, match=r"x\.png: the image is damaged: .+; repair or replace it"):
        read_picture(tmp_path / "x.png")
