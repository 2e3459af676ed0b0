"""Two numbers from many calls, and sessions that take turns."""

import pytest

from paconv.measure.timing import Timing, noise, noise_line, ratio
from paconv.measure.turns import best_times, take_turns


class Clock:
    """Takes the given seconds, call after call, and then the last of them for ever."""

    def __init__(self, *seconds: float):
        self.left = list(seconds)

    def call(self) -> float:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


def test_a_timing_is_the_best_and_the_median_of_the_calls():
    assert Timing.of([3.0, 1.0, 2.0, 10.0]) == Timing(best=1.0, median=2.5, calls=4)


def test_a_ratio_says_how_many_times_as_fast_the_first_is_by_the_best_calls():
    assert ratio(Timing.of([1.0, 9.0]), Timing.of([4.0, 5.0])) == 4.0


def test_every_session_has_its_turn_three_times_even_without_time():
    sessions = [Clock(5.0, 4.0, 6.0), Clock(1.0)]
    told: list[float] = []
    calls = take_turns(sessions, 0.0, told.append)
    assert min(calls[0]) == 4.0 and set(calls[1]) == {1.0}
    assert all(len(own) >= 3 for own in calls)
    assert told == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert best_times([Clock(2.0)], 0.0) == [2.0]


def test_a_busy_machine_is_told_by_medians_far_from_the_best():
    quiet, busy = [Timing(1.0, 1.05, 9)] * 3, [Timing(1.0, 1.0, 9), Timing(1.0, 2.0, 9), Timing(1.0, 3.0, 9)]
    assert (noise(quiet), noise(busy), noise([])) == (1.05, 2.0, 1.0)
    assert noise_line(quiet) == "a median call took 1.05 times as long as the best"
    assert "the machine was busy" in noise_line(busy)
