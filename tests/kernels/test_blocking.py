"""How planes and pixels are divided for registers."""

from hypothesis import given
from hypothesis import strategies as st

from paconv.kernels.blocking import MAX_COUNTS, MAX_PIXELS, blocking, most_pixels, split, sub_blocks
from paconv.kernels.registry import plane_pairs


@given(M=st.integers(1, 8), N=st.integers(1, 8), budget=st.integers(2, 40))
def test_a_blocking_covers_each_plane_pair_once_within_the_budget(M, N, budget):
    plan = blocking(M, N, budget)
    assert 1 <= plan.pixels <= MAX_PIXELS
    assert plan.pixels * M * N <= MAX_COUNTS
    parts = split(M, plan.parts_M), split(N, plan.parts_N)
    assert [sum(sizes) for sizes in parts] == [M, N]
    for m in parts[0]:
        for n in parts[1]:
            weights = m if n * plan.pixels > 1 else 0
            assert m * n * plan.pixels + weights <= budget
            assert (m, n) in sub_blocks(budget) and plan.pixels <= most_pixels(m, n, budget)


@given(budget=st.integers(2, 40))
def test_no_sub_block_is_made_that_no_planes_are_divided_into(budget):
    wanted = set()
    for M, N in plane_pairs():
        plan = blocking(M, N, budget)
        wanted |= {(m, n) for m in split(M, plan.parts_M) for n in split(N, plan.parts_N)}
    assert sub_blocks(budget) == sorted(wanted)
