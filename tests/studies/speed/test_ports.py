"""Multiply-accumulates per cycle, counted from instructions and ports."""

import pytest

from paconv.studies.speed.ports import macs_per_cycle


def test_ports_give_the_counts_of_the_avx512_instructions():
    cpu = "x86-64-v4-vpopcntdq"
    assert macs_per_cycle(cpu, "float") == 32
    assert macs_per_cycle(cpu, "planes", (4, 5)) == pytest.approx(512 / 1.5 / 20)
    assert macs_per_cycle(cpu, "codes", coding="dot") == 128
    assert macs_per_cycle("x86-64-v3", "codes", coding="narrow") == 32
    assert macs_per_cycle("armv8-a", "planes") is None
