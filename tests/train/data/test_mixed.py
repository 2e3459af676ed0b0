"""Several sources as one."""

from __future__ import annotations

import pytest
import torch

from paconv.errors import UsageError
from paconv.train import open_source
from paconv.train.data.mixed import mixed
from tests.train.pictures import image_folder, voc_folder


def test_the_samples_stand_one_source_after_the_other(tmp_path):
    sources = [
        open_source(f"folder:{image_folder(tmp_path / name, training=count)}", size=16)
        for name, count in (("a", 2), ("b", 3))
    ]
    both = mixed(sources)
    assert len(both.training) == 4 + 6 and len(both.held_out) == 6 + 6
    images, labels = both.training.batch([(1, 9), (1, 0), (1, 4)])
    expected = [sources[part].training.batch([(1, index)]) for part, index in ((1, 5), (0, 0), (1, 0))]
    assert torch.equal(images, torch.cat([x for x, _ in expected]))
    assert torch.equal(labels, torch.cat([y for _, y in expected]))


def test_detection_sets_are_joined_and_one_may_hold_nothing_out(tmp_path):
    a, b = (voc_folder(tmp_path / name) for name in ("VOC2007", "VOC2012"))
    both = mixed([open_source(f"voc:{a}", size=32), open_source(f"voc:{b}:trainval", size=32)])
    assert len(both.training) == 4 and len(both.held_out) == 2
    images, targets = both.training.batch([(0, 0), (0, 3)])
    assert images.shape == (2, 3, 32, 32) and len(targets) == 2


def test_sources_that_differ_are_not_mixed(tmp_path):
    with pytest.raises(UsageError, match="digits and synthetic can't be mixed: classes is"):
        mixed([open_source("digits"), open_source("synthetic")])
    a, b = (image_folder(tmp_path / name) for name in "ab")
    with pytest.raises(UsageError, match=r"input_shape is \(3, 16, 16\) and \(3, 32, 32\)"):
        mixed([open_source(f"folder:{a}", size=16), open_source(f"folder:{b}", size=32)])
