"""What TensorBoard is shown."""

from __future__ import annotations

from paconv.models import digits_resnet
from paconv.train import Settings, fit
from paconv.train.tensorboard import TensorBoardLog
from tests.train.joint_fit import small_source


def points(folder, name: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return [(event.step, event.value) for event in found.Scalars(name)]


def test_measures_stand_at_their_steps(tmp_path):
    options = {"watchers": [TensorBoardLog(tmp_path)]}
    history = fit(digits_resnet(4, width=4), small_source(), Settings(6, batch_size=16), **options)
    assert [step for step, _ in points(tmp_path, "training/loss")] == [20]
    assert [step for step, _ in points(tmp_path, "epoch/held_out_accuracy")] == [4, 8, 12, 16, 20, 24]
    shown = [value for _, value in points(tmp_path, "epoch/held_out_accuracy")]
    assert shown == [measures["held_out_accuracy"] for measures in history]  # sixteenths: exact in float32
