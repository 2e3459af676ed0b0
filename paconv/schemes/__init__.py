"""What each published quantization scheme is: one record per scheme, free of torch.

    scheme              weight planes     activation planes   endpoints   1x1 shortcuts  elementwise operations
    pa                  M, disjoint       N                   N           binary         by the rule (paconv.cost.rules)
    abc                 M, nested         N, nested           N           binary         by the rule
    groupnet            1                 1                   1           binary         by the rule
    groupnet_layerwise  M, independent    1                   1           real           by the rule
    bireal             1                 1                   1           real           none
    xnor                1                 1                   1           real           2 multiplications per output
    dorefa              M, digits         N, digits           2^N - 1     binary         by the rule
    lqnet               M, digits         N, digits           2^N - 1     binary         by the rule
    syq                 1, or 2 disjoint  N, digits           2^N - 1     binary         by the rule
    bwn                 1                 -                   -           binary         -
    twn, ttq            2, disjoint       -                   -           binary         -
    float               -                 -                   -           real           -

Disjoint or nested planes have M + 1 weight levels, independent ones and binary digits 2^M. xnor: W*I ~
(sign(I) (*) sign(W)) . K alpha, two real factors, K and alpha, for each output. On ResNet18 that is 1.670e8 Flops,
which the paper's Table 7 prints for Bi-Real Net.

`paconv.nn.schemes` makes the quantizers of a scheme, `paconv.cost` counts a network under it; both take from here which
planes it has, so that what one accepts the other accepts.
"""

from __future__ import annotations

from paconv.schemes.record import SchemeRecord, spelled
from paconv.schemes.records import FLOAT, SCHEMES

__all__ = ["FLOAT", "SCHEMES", "SchemeRecord", "spelled"]
