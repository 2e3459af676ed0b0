"""ImageNet-style folders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from paconv.errors import DataError
from paconv.samples.pictures import read_picture
from paconv.train import open_source
from paconv.train.data.augment import AREA, ASPECT, _random_part, center_crop, random_resized_crop
from paconv.train.data.images import MEAN, STD, normalized
from tests.train.pictures import image_folder


def test_labels_are_by_the_sorted_names_of_the_classes(tmp_path):
    source = open_source(f"folder:{image_folder(tmp_path, classes=3)}", size=24)
    assert source.classes == ("c0", "c1", "c2") and source.input_shape == (3, 24, 24)
    assert (len(source.training), len(source.held_out)) == (18, 9)
    images, labels = source.training.batch([(0, i) for i in range(18)])
    assert images.shape == (18, 3, 24, 24) and images.dtype == torch.float32
    assert labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    means = [images[labels == label].mean() for label in range(3)]
    assert means[0] < means[1] < means[2]  # as the images were made


def test_a_sample_depends_on_seed_epoch_and_index_alone(tmp_path):
    spec = f"folder:{image_folder(tmp_path)}"
    together, _ = open_source(spec, seed=2, size=16).training.batch([(3, i) for i in range(12)])
    alone, _ = open_source(spec, seed=2, size=16).training.batch([(3, 4)])
    assert torch.equal(alone[0], together[4])
    for seed, epoch in ((1, 3), (2, 4)):
        other, _ = open_source(spec, seed=seed, size=16).training.batch([(epoch, 4)])
        assert not torch.equal(other, alone)
    held_out = open_source(spec, size=16).held_out
    assert torch.equal(held_out.batch([(0, 1)])[0], held_out.batch([(9, 1)])[0])


def test_a_class_of_val_that_train_does_not_have_is_refused(tmp_path):
    image_folder(tmp_path)
    (tmp_path / "val/c7").mkdir()
    with pytest.raises(DataError, match=r"val/c7: .*train has no such class"):
        open_source(f"folder:{tmp_path}")


def test_without_val_nothing_is_held_out(tmp_path):
    image_folder(tmp_path)
    (tmp_path / "val").rename(tmp_path / "other")
    assert open_source(f"folder:{tmp_path}").held_out is None


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_what_is_no_image_is_refused_by_name(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.png"):
        read_picture(tmp_path / "x.png")


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_every_kind_of_image_becomes_rgb(tmp_path, mode):
    Image.new(mode, (5, 4)).save(tmp_path / ("x.jpg" if mode == "CMYK" else "x.png"))
    (path,) = tmp_path.iterdir()
    assert np.asarray(read_picture(path)).shape == (4, 5, 3)


def test_values_are_normalized_by_imagenets_mean_and_deviation():
    """(v/255 - mean) / std: three float32 roundings, each of at most 2^-24 of values below 3, before and after /std."""
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5)
    expected = (np.arange(48).reshape(4, 4, 3) * 5 / 255 - MEAN) / STD
    found = normalized(image).permute(1, 2, 0).double().numpy()
    assert np.abs(found - expected).max() < 3 * 3 * 2**-24 / min(STD)


def test_random_parts_lie_within_the_image_and_have_the_asked_area_and_aspect():
    draw = np.random.default_rng(0)
    areas = []
    for _ in range(500):
        left, top, width, height = _random_part(300, 200, draw)
        assert 0 <= left <= 300 - width and 0 <= top <= 200 - height
        areas.append(width * height / 60000)
        # Sides are rounded to whole pixels: each by half a pixel at most.
        assert ASPECT[0] * (1 - 1 / height) <= width / height * (1 + 1 / width) and width / height <= ASPECT[1] * (
            1 + 1 / height
        )
    assert AREA[0] * 0.95 < min(areas) < 0.15 and 0.85 < max(areas) <= 1


def test_a_narrow_image_gives_its_middle():
    assert _random_part(2, 400, np.random.default_rng(0))[2:] == (2, 3)


def test_half_of_the_training_images_are_mirrored():
    ramp = Image.fromarray(np.tile(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], (100, 1, 3)))
    draw = np.random.default_rng(0)
    rising = sum(
        int(a[0, -1, 0]) > int(a[0, 0, 0]) for a in (np.asarray(random_resized_crop(ramp, 8, draw)) for _ in range(400))
    )
    assert abs(rising - 200) < 5 * 10  # a binomial's 5 standard deviations, sqrt(400 / 4) each


def test_the_middle_crop_is_seven_eighths_of_the_shorter_side():
    values = np.zeros((256, 400, 3), np.uint8)
    values[16:-16, 88:-88] = 255  # 224 x 224 in the middle
    assert (np.asarray(center_crop(Image.fromarray(values), 224)) == 255).all()
    values[16, :] = 0
    assert (np.asarray(center_crop(Image.fromarray(values), 224))[0] == 0).all()
