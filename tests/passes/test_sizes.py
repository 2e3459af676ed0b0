"""pa.onnx stays within 5 % of the level-index accounting: bits = 32 R + ceil(log2(M+1)) B.

B: weights of the quantized convolutions; R: first convolution, classifier and 2 batch-norm parameters a channel.
"""

import pytest

from paconv.pipeline import optimize
from tests.passes.resnets import pa_resnet

COUNTS = {18: (532_008, 11_157_504), 34: (539_432, 21_258_240), 50: (2_111_528, 23_445_504)}
QUANTIZED = {18: 19, 34: 35, 50: 52}
CASES = [(18, M, N) for M in (2, 4, 8) for N in (5, 7, 8, None)]
CASES += [(depth, M, N) for depth in (34, 50) for M, N in ((4, 5), (2, 8), (2, None))]
QUICK = [(18, 4, 5), (18, 2, 8), (18, 8, None)]
"""Each number of bits a weight has (2, 3, 4), and both forms; all others are slow."""


@pytest.mark.parametrize(
    "depth, M, N", [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES]
)
def test_a_resnet_is_no_larger_than_level_indexes_plus_5_percent(depth, M, N):
    R, B = COUNTS[depth]
    bits = 32 * R + {2: 2, 4: 3, 8: 4}[M] * B
    result = optimize(pa_resnet(depth, M, N))
    totals = result.report.totals
    assert (totals["bit_convs"], totals["weights_only"]) == ((QUANTIZED[depth], 0) if N else (0, QUANTIZED[depth]))
    assert bits < 8 * len(result.model.SerializeToString()) <= 1.05 * bits
