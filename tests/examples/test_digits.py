"""The sample: the committed digits net, the held-out digits, and the scripts around them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import paconv
from paconv.digits_images import held_out_digits, training_digits

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "examples" / "digits_pa45.pt"


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> tuple[Path, Path]:
    """(model.onnx, pa.onnx) of the sample."""
    folder = tmp_path_factory.mktemp("digits")
    model, optimized = folder / "model.onnx", folder / "pa.onnx"
    paconv.export(CHECKPOINT, model)
    paconv.optimize(model, optimized)
    return model, optimized


def logits_of_torch(images: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return paconv.load(CHECKPOINT)(torch.from_numpy(images)).numpy()


def test_the_checkpoint_is_smaller_than_a_megabyte():
    assert CHECKPOINT.stat().st_size < 1_000_000


def test_the_held_out_digits_are_none_of_the_training_digits():
    (training, _), (held_out, labels) = training_digits(), held_out_digits()
    assert len(training) + len(held_out) == 1797
    assert not {image.tobytes() for image in training} & {image.tobytes() for image in held_out}
    assert set(labels.tolist()) == set(range(10))


def test_torch_and_both_onnx_models_give_equal_predictions_of_the_held_out_digits(models):
    images, labels = held_out_digits()
    stock, stock_optimized = (ort.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in models)
    sessions = (stock, stock_optimized, paconv.InferenceSession(models[1]))
    expected = logits_of_torch(images).argmax(1)
    for session in sessions:
        (logits,) = session.run(None, {"input": images})
        assert logits.argmax(1).tolist() == expected.tolist()
    assert (expected == labels).mean() >= 0.975


def test_a_digit_alone_is_named_as_in_a_batch(models):
    images, _ = held_out_digits()
    session = paconv.InferenceSession(models[1])
    (together,) = session.run(None, {"input": images[:8]})
    alone = [session.run(None, {"input": images[i : i + 1]})[0][0] for i in range(8)]
    assert np.array_equal(np.stack(alone).argmax(1), together.argmax(1))


def test_the_serving_example_runs_without_torch(models):
    script = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__'); sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "examples")])}
    done = subprocess.run(
        [sys.executable, "-c", script, ROOT / "examples" / "03_serve.py", models[1]],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "of 450 right" in done.stdout
    assert "without the library: equal predictions" in done.stdout
