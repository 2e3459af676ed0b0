"""Sums over the words of windows, in registers: the loops that the accumulate functions of planes and of codes share.

A window is `taps` runs of words. Weights lie in the order of a window's words, whatever runs they are in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from paconv.kernels.emit.loops import repeat, when
from paconv.kernels.emit.vectors import WORDS, const, element, i64, less, load, store

__all__ = ["Windows", "sum_windows"]


@dataclass(frozen=True)
class Windows:
    """The windows of a register block, one for each of its pixels; all numbers are i64, in bytes but for `taps`.

    starts: addresses of windows; tap_offsets: address of (taps,) int64, from a window to its runs; run, step: of a run,
    and from word to word; weights, weight_step: address of the first word's, and from one word's to the next's.
    add(weights, words, sums) -> sums with the products of one word, given the addresses of its weights and of the word
    of each pixel.
    """

    builder: ir.IRBuilder
    starts: list
    tap_offsets: ir.Value
    taps: ir.Value
    run: ir.Value
    step: ir.Value
    weights: ir.Value
    weight_step: ir.Value
    add: Callable

    def add_words(self, tap, position, end, weights, sums) -> tuple:
        """The words of a tap's run from `position` to `end`, at least one; returns (next weights, sums)."""
        builder, offset = self.builder, element(self.builder, self.tap_offsets, tap)
        runs = [builder.add(start, offset) for start in self.starts]

        def body(position, weights, *sums):
            added = self.add(weights, [builder.add(run, position) for run in runs], sums)
            position = builder.add(position, self.step)
            return [position, builder.add(weights, self.weight_step), *added], less(builder, position, end)

        _, weights, *sums = repeat(builder, [position, weights, *sums], body)
        return weights, sums


def sum_windows(windows: Windows, first: list, targets: list, kind: ir.Type, most, as_words: Callable) -> None:
    """Write `first` and the products of all words to the targets, vectors of WORDS.

    kind: of the sums in registers. Others than WORDS hold the products of `most` bytes of words; as_words(builder, sum)
    is then added to the target.
    """
    builder = windows.builder

    def take(sums):
        for target, value in zip(targets, sums, strict=True):
            store(builder, builder.add(load(builder, target, WORDS), as_words(builder, value)), target)

    for target, value in zip(targets, _whole(windows, first) if kind == WORDS else first, strict=True):
        store(builder, value, target)
    if kind != WORDS:
        _in_stretches(windows, [const(0, kind)] * len(targets), most, take)


def _whole(windows: Windows, first: list) -> list:
    """`first` and the products of all words."""
    builder = windows.builder

    def body(tap, weights, *sums):
        weights, sums = windows.add_words(tap, const(0), windows.run, weights, sums)
        tap = builder.add(tap, const(1))
        return [tap, weights, *sums], less(builder, tap, windows.taps)

    _, _, *sums = repeat(builder, [const(0), windows.weights, *first], body)
    return sums


def _in_stretches(windows: Windows, zeros: list, most, take: Callable) -> None:
    """The products of all words in stretches of `most` bytes of them, as many as sums can hold, through whatever runs;
    the last may be shorter. take(sums) after each; then they are `zeros` again.
    """
    builder, run = windows.builder, windows.run

    def empty(room, *sums):
        take(sums)
        return [most, *zeros]

    def body(tap, position, room, weights, *sums):
        full = builder.add(position, room)
        end = builder.select(less(builder, full, run), full, run)
        weights, sums = windows.add_words(tap, position, end, weights, sums)
        room = builder.sub(room, builder.sub(end, position))
        run_ends = builder.icmp_signed("==", end, run)
        tap = builder.add(tap, builder.zext(run_ends, i64))
        again = less(builder, tap, windows.taps)
        is_full = builder.icmp_signed("==", room, const(0))
        room, *sums = when(builder, builder.or_(is_full, builder.not_(again)), [room, *sums], empty)
        return [tap, builder.select(run_ends, const(0), end), room, weights, *sums], again

    repeat(builder, [const(0), const(0), most, windows.weights, *zeros], body)
