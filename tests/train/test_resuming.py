"""A training that is killed and resumed gives what one gives that isn't."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import paconv
from paconv.cli.main import main
from paconv.errors import CheckpointError, DataError, PaconvError, UsageError
from paconv.folder_lock import LOCK, locked
from paconv.models import digits_resnet
from paconv.train import DataSource, Settings, fit
from paconv.train.data.samples import Samples
from paconv.train.state import load_state
from tests.train.joint_fit import small_source

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return paconv.load(folder / "model.pt").state_dict()


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def tiny_fit(folder: Path | None, source: DataSource | None = None, epochs: int = 2, width: int = 4, **options):
    torch.manual_seed(0)
    model = digits_resnet(4, width=width)
    fit(model, source or small_source(), Settings(epochs, batch_size=16), output=folder, **options)
    return model.state_dict()


@pytest.mark.slow
def test_killed_at_random_steps_and_while_it_writes_it_ends_with_the_same_weights_and_measures(tmp_path):
    """With dropout, so that the random numbers of torch matter."""
    command = [sys.executable, ROOT / "tests/train/killed_fit.py", tmp_path]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3, "it was hardly ever killed"
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    a, b = (torch.load(each / "model.pt", weights_only=True)["state_dict"] for each in (unbroken, killed))
    assert equal(a, b)
    assert (unbroken / "history.json").read_text() == (killed / "history.json").read_text()
    assert len(json.loads((killed / "history.json").read_text())) == 5
    assert sorted(each.name for each in killed.iterdir()) == ["history.json", "model.pt", "state.pt"]


@pytest.mark.slow
def test_the_command_killed_from_outside_goes_on_with_resume_alone(tmp_path, monkeypatch, capsys):
    options = "--model digits_resnet --data digits --epochs 2 --float-epochs 1 --batch-size 128 --threads 1".split()
    options += ["--no-tensorboard", "--checkpoint-steps", "1"]
    running = subprocess.Popen(
        [sys.executable, "-m", "paconv", "train", *options, "-o", tmp_path / "killed"],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
    )
    while not (tmp_path / "killed/state.pt").exists() and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed/model.pt").exists()

    threads = torch.get_num_threads()
    for arguments in ([*options, "-o", "unbroken"], ["-o", "killed", "--resume"]):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["paconv", "train", *arguments])
        with pytest.raises(SystemExit) as exit:
            main()
        assert not exit.value.code, capsys.readouterr().err
    torch.set_num_threads(threads)
    assert "pa: goes on after step" in capsys.readouterr().out
    assert equal(weights(tmp_path / "killed/float"), weights(tmp_path / "unbroken/float"))
    assert equal(weights(tmp_path / "killed"), weights(tmp_path / "unbroken"))


def test_a_finished_training_comes_back_as_it_is(tmp_path):
    done = tiny_fit(tmp_path)
    assert equal(tiny_fit(tmp_path, resume=True), done)


def test_a_folder_that_holds_a_training_is_not_overwritten(tmp_path):
    done = tiny_fit(tmp_path)
    with pytest.raises(UsageError, match="holds a training"):
        tiny_fit(tmp_path, epochs=1)
    assert equal(weights(tmp_path), done)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"epochs": 3}, "settings.epochs was 2, now it is 3"), ({"width": 8}, "config.width was 4, now it is 8")],
)
def test_a_state_of_another_training_is_refused_and_kept(tmp_path, change, message):
    tiny_fit(tmp_path)
    before = (tmp_path / "state.pt").read_bytes()
    with pytest.raises(CheckpointError, match=message):
        tiny_fit(tmp_path, resume=True, **change)
    assert (tmp_path / "state.pt").read_bytes() == before


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b[:2000] + b"?" + b[2001:], lambda b: b""])
def test_a_damaged_state_is_refused(tmp_path, damage):
    tiny_fit(tmp_path)
    state = tmp_path / "state.pt"
    state.write_bytes(damage(state.read_bytes()))
    with pytest.raises(CheckpointError, match="state.pt"):
        tiny_fit(tmp_path, resume=True)


def test_a_second_training_in_a_folder_is_refused_while_the_first_writes_there(tmp_path):
    with locked(tmp_path, "training"):
        left = tmp_path / ".state.pt.abc.tmp"  # what the first is writing now
        left.write_bytes(b"half")
        for resume in (False, True):
            with pytest.raises(UsageError, match="another training is at work there"):
                tiny_fit(tmp_path, resume=resume)
        assert left.read_bytes() == b"half"
    tiny_fit(tmp_path, resume=True)
    assert not left.exists() and not (tmp_path / LOCK).exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epoch", -1, "its epoch is int"),
        ("step", 1.5, "its step is float"),
        ("model", [], "its model is list"),
        ("totals", [0.0], r"its totals are \[0.0\]"),
        ("model", {}, "expected the state of this training, which it isn't: .*; delete it to begin anew"),
        ("optimizer", {"state": 3}, "expected the state of this training, which it isn't"),
        ("optimizer", {"state": {}, "param_groups": []}, "expected the state of this training, which it isn't"),
        ("random", [3], "expected the state of this training, which it isn't"),
    ],
)
def test_a_state_with_other_contents_is_refused(tmp_path, field, value, message):
    tiny_fit(tmp_path, epochs=1)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.save({**state, field: value}, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match=message) as caught:
        tiny_fit(tmp_path, epochs=1, resume=True)
    assert "\n" not in str(caught.value)


def test_a_wrapped_model_is_trained_and_saved_as_the_model_within(tmp_path):
    torch.manual_seed(0)
    model = digits_resnet(4, width=4)
    fit(torch.nn.DataParallel(model), small_source(), Settings(1, batch_size=16), output=tmp_path)
    assert equal(weights(tmp_path), model.state_dict())


@pytest.mark.parametrize("limit", [100, 20_000])  # of a file: within its first buffer, and beyond
def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path, limit):
    model = digits_resnet(4, width=4)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(PaconvError, match=r"cannot write .*model.pt: File too large"):
            paconv.save(model, tmp_path / "model.pt")
        with pytest.raises(PaconvError, match=r"cannot write .*state.pt: File too large"):
            tiny_fit(tmp_path, epochs=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_a_model_is_no_state(tmp_path):
    paconv.save(digits_resnet(4), tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="expected the state of a training, found another file"):
        load_state(tmp_path / "state.pt")


class Spoiled(Samples):
    """Sample 5 can't be read."""

    def __init__(self, samples: Samples):
        self.samples, self.spoiled = samples, True

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, keys):
        if self.spoiled and 5 in [index for _, index in keys]:
            raise DataError("sample 5 is damaged")
        return self.samples.batch(keys)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_was_reached_before_a_damaged_sample_is_not_lost(tmp_path, workers):
    source = small_source()
    samples = Spoiled(source.training)
    spoiled = DataSource(source.name, source.task, samples, source.held_out, source.classes, source.input_shape)
    with pytest.raises(DataError, match="^sample 5 is damaged$"):
        tiny_fit(tmp_path, spoiled, workers=workers)
    reached = load_state(tmp_path / "state.pt")
    assert (reached.epoch, reached.step) == (0, first_step_with(5))
    samples.spoiled = False
    assert equal(tiny_fit(tmp_path, spoiled, resume=True), tiny_fit(None))


def first_step_with(index: int) -> int:
    from paconv.train.batches import first_keys

    source = small_source()
    return [i for _, i in first_keys(source.training, 0, len(source.training))].index(index) // 16
