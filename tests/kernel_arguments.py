"""The argument block of a whole PABitConv, for tests that call its kernels without onnxruntime."""

from __future__ import annotations

import numpy as np

from paconv.bits import WORD_BITS
from paconv.kernels.arguments import CODING_HEAD, GATHER_RUN, LANES, MAX_FOLDED, MAX_HALO, PIXEL_CHUNK, SPANS
from paconv.kernels.formats import FORMATS
from paconv.kernels.tiling import TILE_ROWS
from paconv.ops.pa_bit_conv import output_shape


def layout_of(CG: int, KH: int, KW: int, DW: int) -> tuple[int, int, int, int]:
    """(folded, CW, taps, run) of bit planes, folded wherever that saves words."""
    own, row = -(-CG // WORD_BITS), -(-KW * CG // WORD_BITS)
    if row < KW * own and row <= MAX_FOLDED and (KW - 1) * DW <= MAX_HALO:
        return 1, row, KH, row
    return (0, own, KH, KW * own) if DW == 1 else (0, own, KH * KW, own)


def arguments_of(case, code_format: str = "planes") -> tuple[dict, dict]:
    """(arrays, numbers) of the argument block of a whole PABitConv of the case, by planes or by codes of a format, as
    the shim fills it; without the accumulate function and its tile.
    """
    a, inputs = case.attributes, case.inputs
    made = FORMATS.get(code_format)
    O, CG, KH, KW = a["weight_shape"]
    G, M, N = a["group"], inputs["alpha"].shape[1] - 1, inputs["beta"].shape[0] - 1
    B, C, H, W = case.X.shape
    shape = output_shape(case.X.shape, a["weight_shape"], a["strides"], a["pads"], a["dilations"])
    _, _, OH, OW = shape
    D, OG, DW = made.D if made else 0, O // G, a["dilations"][1]
    digits, OB = D or N, -(-OG // LANES)
    folded, CW, taps, run = layout_of(CG, KH, KW, DW)
    if made:
        CW = -(-CG // made.channels)
        folded, taps, run = 0, KH if DW == 1 else KH * KW, KW * CW if DW == 1 else CW
    Hp, Wp = H + a["pads"][0] + a["pads"][2], W + a["pads"][1] + a["pads"][3]
    tap_offsets = [
        (kh * a["dilations"][0] * Wp + kw * a["dilations"][1]) * CW * digits * 4
        for kh in range(KH)
        for kw in range(taps // KH)
    ]
    arrays = {
        "x": case.X,
        "y": np.zeros(shape, np.float32),
        "words": np.zeros((B, G, Hp, Wp, CW, digits), np.uint32),
        "sums": np.zeros((B, G, Hp, Wp, D), np.int32),
        "coding": np.zeros(CODING_HEAD + len(inputs["alpha"])),
        "level_codes": np.zeros(inputs["v"].shape[1] + 1, np.uint32),
        "correction": np.zeros((G * OB, D, LANES), np.float32),
        "start": np.zeros((G * OB, D, LANES), np.int32),
        "span_sums": np.zeros((G * OB, SPANS), np.int64),
        "tap_offsets": np.array(tap_offsets, np.int64),
        "codes": inputs["W"],
        **{name: inputs[name] for name in ("v", "sign", "alpha", "beta", "scale", "bias")},
        "weight_masks": np.array(a["weight_masks"], np.uint8),
        "level_masks": np.array(a["level_masks"], np.uint8),
        "weight_words": np.zeros((G * OB * taps * run + TILE_ROWS, D or M, LANES), np.uint32),
        "phi": np.zeros((G * OB, D or M * N, LANES), np.float32),
        "base": np.zeros((G * OB, LANES), np.float32),
        "offset_alpha": np.zeros((G * OB, LANES), np.float32),
        "offset_taps": np.zeros((G * OB, KH * KW, LANES), np.float32),
    }
    numbers = dict(
        B=B, C=C, H=H, W=W, XH=H, XW=W, XSH=1, XSW=1, O=O, OH=OH, OW=OW, G=G, CG=CG, OG=OG, CW=CW, OB=OB, KH=KH, KW=KW,
        SH=a["strides"][0],
        SW=a["strides"][1], PT=a["pads"][0], PL=a["pads"][1], Hp=Hp, Wp=Wp, DH=a["dilations"][0], DW=a["dilations"][1],
        folded=folded, taps=taps, run=run, M=M, N=N, D=D,
        digit_bits=made.digit_bits if made else 0, E=inputs["v"].shape[1], v_rows=len(inputs["v"]),
        sign_rows=len(inputs["sign"]), alpha_rows=len(inputs["alpha"]), R=len(inputs["W"]),
        code_bytes=inputs["W"].shape[1], weight_codes=len(a["weight_masks"]),
        has_alpha_0=int(inputs["alpha"][:, 0].any()), gather_runs=-(-H * W // GATHER_RUN),
        gather_parts=1,
        has_beta_0=int(inputs["beta"][0] != 0), pixel_chunks=-(-OH * OW // PIXEL_CHUNK), block_chunks=1,
        blocks_per_task=OB,
    )  # fmt: skip
    return arrays, numbers
