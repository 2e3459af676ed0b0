"""The schemes of the paper's comparison, PA first."""

from __future__ import annotations

from paconv.bits import MAX_PLANES
from paconv.schemes.record import SchemeRecord

__all__ = [
    "ABC",
    "BIREAL",
    "BWN",
    "DOREFA",
    "FLOAT",
    "GROUPNET",
    "GROUPNET_LAYERWISE",
    "LQNET",
    "PA",
    "SCHEMES",
    "SYQ",
    "TTQ",
    "TWN",
    "XNOR",
]


def _up_to(most: int) -> tuple[int, ...]:
    return tuple(range(1, most + 1))


_GROUPNET_SOURCE = (
    "B. Zhuang, C. Shen, M. Tan, L. Liu, I. Reid: Structured Binary Neural Networks for Accurate Image Classification "
    "and Semantic Segmentation, CVPR 2019"
)

PA = SchemeRecord(
    name="pa",
    title="PA",
    meaning="piecewise approximation",
    source="B. Zhu, Z. Al-Ars, W. Pan: Towards Lossless Binary Convolutional Neural Networks Using Piecewise "
    "Approximation, 2020",
    M=_up_to(MAX_PLANES),
    N=(*_up_to(MAX_PLANES), None),
    default=(4, 5),
    gate="AND",
)
ABC = SchemeRecord(
    name="abc",
    title="ABC-Net",
    meaning="ABC-Net: M and N nested +-1 bases",
    source="X. Lin, C. Zhao, W. Pan: Towards Accurate Binary Convolutional Neural Network, NeurIPS 2017",
    M=_up_to(MAX_PLANES),
    N=(*_up_to(MAX_PLANES), None),
    default=(5, 5),
)
GROUPNET = SchemeRecord(
    name="groupnet",
    title="Group-Net",
    meaning="Group-Net: one bit, in the branches of its architecture",
    source=_GROUPNET_SOURCE,
    M=(1,),
    N=(1,),
    default=(1, 1),
)
GROUPNET_LAYERWISE = SchemeRecord(
    name="groupnet_layerwise",
    title="layer-wise Group-Net",
    meaning="Group-Net layer by layer: M convolutions of one bit, added",
    source=_GROUPNET_SOURCE,
    M=_up_to(MAX_PLANES),
    N=(1,),
    default=(5, 1),
    independent=True,
    real_shortcuts=True,
)
BIREAL = SchemeRecord(
    name="bireal",
    title="Bi-Real Net",
    meaning="Bi-Real Net",
    source="Z. Liu, B. Wu, W. Luo, X. Yang, W. Liu, K.-T. Cheng: Bi-Real Net: Enhancing the Performance of 1-bit CNNs "
    "with Improved Representational Capability and Advanced Training Algorithm, ECCV 2018",
    M=(1,),
    N=(1,),
    default=(1, 1),
    real_shortcuts=True,
    multiplications_per_output=0,
)
XNOR = SchemeRecord(
    name="xnor",
    title="XNOR-Net",
    meaning="XNOR-Net",
    source="M. Rastegari, V. Ordonez, J. Redmon, A. Farhadi: XNOR-Net: ImageNet Classification Using Binary "
    "Convolutional Neural Networks, ECCV 2016",
    M=(1,),
    N=(1,),
    default=(1, 1),
    real_shortcuts=True,
    multiplications_per_output=2,
)
DOREFA = SchemeRecord(
    name="dorefa",
    title="DoReFa-Net",
    meaning="DoReFa-Net: M and N bits",
    source="S. Zhou, Y. Wu, Z. Ni, X. Zhou, H. Wen, Y. Zou: DoReFa-Net: Training Low Bitwidth Convolutional Neural "
    "Networks with Low Bitwidth Gradients, arXiv 1606.06160, 2016",
    M=_up_to(4),  # 2^M - 1 comparisons per weight in the exported graph: more would take gigabytes on a large layer
    N=(*_up_to(MAX_PLANES), None),
    default=(2, 2),
    independent=True,
    digits=True,
    gate="AND",
)
LQNET = SchemeRecord(
    name="lqnet",
    title="LQ-Net",
    meaning="LQ-Net: M and N learned bits",
    source="D. Zhang, J. Yang, D. Ye, G. Hua: LQ-Nets: Learned Quantization for Highly Accurate and Compact Deep "
    "Neural Networks, ECCV 2018",
    M=_up_to(4),
    N=(*_up_to(4), None),
    default=(2, 2),
    independent=True,
    digits=True,
    gate="AND",
)
SYQ = SchemeRecord(
    name="syq",
    title="SYQ",
    meaning="SYQ: binary or ternary weights, N bits",
    source="J. Faraone, N. Fraser, M. Blott, P. Leong: SYQ: Learning Symmetric Quantization for Efficient Deep Neural "
    "Networks, CVPR 2018",
    M=(1, 2),
    N=(*_up_to(MAX_PLANES), None),
    default=(1, 8),
    digits=True,
    gate="AND",
)
BWN = SchemeRecord(
    name="bwn",
    title="BWN",
    meaning="BWN: binary weights",
    source="M. Rastegari, V. Ordonez, J. Redmon, A. Farhadi: XNOR-Net: ImageNet Classification Using Binary "
    "Convolutional Neural Networks, ECCV 2016",
    M=(1,),
    N=(None,),
    default=(1, None),
)
TWN = SchemeRecord(
    name="twn",
    title="TWN",
    meaning="TWN: ternary weights",
    source="F. Li, B. Zhang, B. Liu: Ternary Weight Networks, arXiv 1605.04711, 2016",
    M=(2,),
    N=(None,),
    default=(2, None),
)
TTQ = SchemeRecord(
    name="ttq",
    title="TTQ",
    meaning="TTQ: trained ternary weights",
    source="C. Zhu, S. Han, H. Mao, W. J. Dally: Trained Ternary Quantization, ICLR 2017",
    M=(2,),
    N=(None,),
    default=(2, None),
)
FLOAT = SchemeRecord(name="float", title="float", meaning="full precision", source="")
"""The network that nothing is done to."""

SCHEMES = {
    record.name: record
    for record in (PA, ABC, GROUPNET, GROUPNET_LAYERWISE, BIREAL, XNOR, DOREFA, LQNET, SYQ, BWN, TWN, TTQ, FLOAT)
}
"""Name -> record."""
