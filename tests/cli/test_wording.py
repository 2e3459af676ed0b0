"""Errors that Python calls raise name options as they are typed."""

from __future__ import annotations

import pytest

from paconv.cli.commands import load
from paconv.cli.wording import as_typed


@pytest.mark.parametrize(
    ("command", "raised", "told"),
    [
        (
            "quantize",
            "worst: expected fewer layers than 5; found 7",
            "--keep-worst: expected fewer layers than 5; found 7",
        ),
        ("quantize", "keep='stem' names no layer", "--keep 'stem' names no layer"),
        ("quantize", "N, the number, must be 1..8 or None; found 9", "N, the number, must be 1..8 or full; found 9"),
        ("quantize", "keep it real (keep, --keep)", "keep it real (--keep)"),
        ("quantize", "give input_shape=(C, H, W) (--input-shape CxHxW)", "give --input-shape CxHxW"),
        ("verify", "inputs: no array for input 'x'", "--inputs: no array for input 'x'"),
        ("deploy", "served at: expected an absolute path", "--served-at: expected an absolute path"),
        ("verify", "the model has inputs: a, b", "the model has inputs: a, b"),
        ("verify", "the batch is 3", "the batch is 3"),
    ],
)
def test_arguments_become_options(command, raised, told):
    assert as_typed(raised, load(command)) == told


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("epochs must be a whole number from 1; found 0", "--epochs must be a whole number from 1; found 0"),
        ("batch_size=64, but there are only 9 samples", "--batch-size 64, but there are only 9 samples"),
        ("go on with it (--resume, resume=True), or", "go on with it (--resume), or"),
    ],
)
def test_arguments_of_a_training_become_options_too(raised, told):
    assert as_typed(raised, load("train")) == told
