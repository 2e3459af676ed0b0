"""VOC-style folders, and the augmentation of boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from paconv.errors import DataError
from paconv.train import open_source
from paconv.train.data.augment_boxes import augmented, cut, expanded, flipped, random_patch
from paconv.train.data.voc import VOC_CLASSES, read_annotation
from tests.effort import examples
from tests.train.pictures import annotated, voc_folder


def test_boxes_count_pixels_from_one_and_both_corners_are_inside(tmp_path):
    objects = annotated("cat", 11, 6, 30, 25) + annotated("aeroplane", 1, 1, 60, 40, difficult=1)
    voc_folder(tmp_path / "voc", objects=objects)
    found = read_annotation(tmp_path / "voc/Annotations/000000.xml", VOC_CLASSES)
    assert torch.equal(found.boxes, torch.tensor([[10 / 60, 5 / 40, 30 / 60, 25 / 40], [0, 0, 1, 1]]))
    assert found.labels.tolist() == [VOC_CLASSES.index("cat") + 1, 1]
    assert found.difficult.tolist() == [False, True]


def test_the_image_sets_are_those_named(tmp_path):
    folder = voc_folder(tmp_path / "voc", images=5)
    source = open_source(f"voc:{folder}")
    assert source.task == "detection" and source.classes == VOC_CLASSES and source.input_shape == (3, 300, 300)
    assert (len(source.training), len(source.held_out)) == (2, 3)
    assert open_source(f"voc:{folder}:test").held_out is None
    swapped = open_source(f"voc:{folder}:test,trainval", size=64)
    assert (len(swapped.training), len(swapped.held_out)) == (3, 2)
    images, targets = swapped.held_out.batch([(0, 0), (0, 1)])
    assert images.shape == (2, 3, 64, 64)
    assert [target.boxes.shape for target in targets] == [(1, 4), (1, 4)]


def test_a_set_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    folder = voc_folder(tmp_path / "voc")
    with pytest.raises(DataError, match="no such image set; found test, trainval; name which"):
        open_source(f"voc:{folder}:train,val")


def test_classes_come_from_a_file_where_there_is_one(tmp_path):
    folder = voc_folder(tmp_path / "voc", objects=annotated("b", 1, 1, 5, 5))
    (folder / "classes.txt").write_text("a\nb\n")
    source = open_source(f"voc:{folder}")
    assert source.classes == ("a", "b")
    assert source.held_out.batch([(0, 0)])[1][0].labels.tolist() == [2]


def test_an_image_without_objects_has_no_boxes(tmp_path):
    source = open_source(f"voc:{voc_folder(tmp_path / 'voc', objects='')}", size=32)
    for epoch in range(5):
        _, (target,) = source.training.batch([(epoch, 0)])
        assert target.boxes.shape == (0, 4) and target.labels.shape == (0,)


def test_a_training_image_depends_on_seed_epoch_and_index_alone(tmp_path):
    spec = f"voc:{voc_folder(tmp_path / 'voc')}"
    images, targets = open_source(spec, size=32).training.batch([(0, 0), (0, 1)])
    alone, (target,) = open_source(spec, size=32).training.batch([(0, 1)])
    assert torch.equal(alone[0], images[1]) and torch.equal(target.boxes, targets[1].boxes)
    assert not torch.equal(open_source(spec, size=32).training.batch([(1, 1)])[0], alone)


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(seed=st.integers(0, 2**32), count=st.integers(0, 4), width=st.integers(20, 90), height=st.integers(20, 90))
def test_augmented_boxes_have_an_area_within_the_image_and_one_at_least_is_left(seed, count, width, height):
    draw = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height))
    boxes = np.zeros((count, 4), np.float32)
    for place in range(count):
        left, top = draw.integers(0, [width - 8, height - 8])
        w, h = draw.integers(8, [width - left + 1, height - top + 1])
        boxes[place] = [left / width, top / height, (left + w) / width, (top + h) / height]
    image, found, kept = augmented(image, boxes, 64, draw)
    assert image.size == (64, 64) and found.shape == (len(kept), 4) and found.dtype == np.float32
    assert len(set(kept.tolist())) == len(kept) and set(kept.tolist()) <= set(range(count))
    assert (found >= 0).all() and (found <= 1).all() and (found[:, :2] < found[:, 2:]).all()
    assert count == 0 or len(kept) >= 1


def test_a_mirrored_box_surrounds_the_mirrored_pixels():
    values = np.zeros((10, 20, 3), np.uint8)
    values[2:5, 3:9] = 255
    box = np.array([[3 / 20, 2 / 10, 9 / 20, 5 / 10]], np.float32)
    x1, y1, x2, y2 = (flipped(box)[0] * [20, 10, 20, 10]).round().astype(int)
    mirrored = values[:, ::-1]
    assert (mirrored[y1:y2, x1:x2] == 255).all() and mirrored.sum() == values.sum()


def test_an_expanded_image_takes_its_boxes_along():
    values = np.zeros((10, 20, 3), np.uint8)
    values[2:5, 3:9] = 255
    box = np.array([[3 / 20, 2 / 10, 9 / 20, 5 / 10]], np.float32)
    for seed in range(20):
        image, found = expanded(Image.fromarray(values), box, np.random.default_rng(seed))
        assert 20 <= image.width <= 80 and 10 <= image.height <= 40
        x1, y1, x2, y2 = (found[0] * [*image.size, *image.size]).round().astype(int)
        white = np.asarray(image) == 255
        assert white[y1:y2, x1:x2].all() and white.sum() == 3 * 6 * 3


def test_a_cut_keeps_the_boxes_whose_middle_is_inside():
    boxes = np.array([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0.25, 0.25, 0.75, 0.75]], np.float32)
    found, kept = cut(boxes, np.array([0.4, 0.4, 1.0, 1.0]))
    assert kept.tolist() == [1, 2]
    exact = np.array([[0.1 / 0.6, 0.1 / 0.6, 1, 1], [0, 0, 0.35 / 0.6, 0.35 / 0.6]])
    assert np.abs(found - exact).max() <= 2**-24  # rounded to float32 once


def test_a_patch_is_large_enough_and_overlaps_an_object():
    boxes = np.array([[0.4, 0.4, 0.6, 0.6]], np.float32)
    draw = np.random.default_rng(0)
    patches = [patch for _ in range(200) if (patch := random_patch((50, 50), boxes, draw)) is not None]
    assert len(patches) > 50
    for patch in patches:
        sides = patch[2:] - patch[:2]
        assert (sides >= 0.3).all() and 0.5 <= sides[0] / sides[1] <= 2 and (patch >= 0).all() and (patch <= 1).all()
        assert len(cut(boxes, patch)[1]) == 1
