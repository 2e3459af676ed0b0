"""The argument blocks of whole nodes, for tests that call their kernels without onnxruntime."""

from __future__ import annotations

import numpy as np

from paconv import bits
from paconv.bits import WORD_BITS
from paconv.kernels.arguments import (
    CODING,
    EVEN_ENDPOINTS,
    EVEN_ROWS,
    GATHER_RUN,
    LANES,
    LEVEL_RUN,
    MAX_HALO,
    MAX_ROW_WORDS,
    PIXEL_CHUNK,
    SPANS,
)
from paconv.kernels.blocking import TILE_ROWS, blocking
from paconv.kernels.cpus import Cpu
from paconv.ops.pa_bit_conv import output_shape
from tests.bit_conv_cases import grid_of

CHANNEL_LAST = {"Y": ("y", np.float32), "L1": ("levels_1", np.uint8), "L2": ("levels_2", np.uint8)}
"""Outputs of PALevelConv -> field, type."""


def layout_of(CG: int, KH: int, KW: int, DW: int) -> tuple[int, int, int, int]:
    """(by_rows, CW, taps, run) of bit planes, by window rows wherever that saves words."""
    own, row = -(-CG // WORD_BITS), -(-KW * CG // WORD_BITS)
    if row < KW * own and row <= MAX_ROW_WORDS and (KW - 1) * DW <= MAX_HALO:
        return 1, row, KH, row
    return (0, own, KH, KW * own) if DW == 1 else (0, own, KH * KW, own)


def arguments_of(case, cpu: Cpu, kind: str = "planes", levels: bool = False) -> tuple[dict, dict]:
    """(arrays, numbers) of the argument block of a whole PABitConv of the case, by planes or by codes with a kind of
    products, as the shim fills it for the CPU; without the address of the accumulate function. levels: whether a
    gather reads levels, not X.
    """
    a, inputs, coded = case.attributes, case.inputs, kind != "planes"
    O, CG, KH, KW = a["weight_shape"]
    G, M, N = a["group"], inputs["alpha"].shape[1] - 1, inputs["beta"].shape[0] - 1
    B, C, H, W = case.X.shape
    shape = output_shape(case.X.shape, a["weight_shape"], a["strides"], a["pads"], a["dilations"])
    _, _, OH, OW = shape
    OG, DW, E = O // G, a["dilations"][1], inputs["v"].shape[1]
    OB, word_planes = -(-OG // LANES), 1 if coded else N
    by_rows, CW, taps, run = layout_of(CG, KH, KW, DW)
    if coded:
        CW = -(-CG // 4)
        by_rows, taps, run = 0, KH if DW == 1 else KH * KW, KW * CW if DW == 1 else CW
    (SH, SW), XH, XW, XSH, XSW = a["strides"], H, W, 1, 1
    SH, SW = (SH if OH > 1 else 1), (SW if OW > 1 else 1)  # there is no next row or column
    if (levels or not coded) and KH == KW == 1 and not any(a["pads"]):  # what is read alone is packed
        H, W, XSH, XSW, SH, SW = OH, OW, SH, SW, 1, 1
    Hp, Wp = H + a["pads"][0] + a["pads"][2], W + a["pads"][1] + a["pads"][3]
    tap_offsets = [
        (kh * a["dilations"][0] * Wp + kw * a["dilations"][1]) * CW * word_planes * 4
        for kh in range(KH)
        for kw in range(taps // KH)
    ]
    at_a_time, block = (cpu.multipliers[kind].words, cpu.multipliers[kind].pixels) if coded else (1, 0)
    row_pixels, slack, run_room = OW, 0, -(-run // at_a_time) * at_a_time
    if at_a_time > 1:
        row_pixels = row_pixels_of(OW, SH, SW, Wp)
        last = -(-((OH - 1) * row_pixels + OW) // block) * block - 1
        read = last // row_pixels * SH * Wp + (last % row_pixels + TILE_ROWS) * SW
        read += (KH - 1) * a["dilations"][0] * Wp + KW * DW
        slack = max(read - Hp * Wp, 0) * CW + at_a_time
    arrays = {
        "x": case.X,
        "y": np.zeros(shape, np.float32),
        "words": np.zeros(B * G * Hp * Wp * CW * word_planes + slack, np.uint32),
        "coding": np.zeros(CODING.rows + len(inputs["alpha"])),
        "alpha_k": np.zeros((len(inputs["alpha"]), M + 1), np.float32),
        "beta_l": np.zeros(N + 1, np.float32),
        "level_codes": np.zeros(E + 1, np.uint8),
        "start": np.zeros((G * OB, LANES), np.int32),
        "span_sums": np.zeros((G * OB, SPANS), np.int64),
        "tap_offsets": np.array(tap_offsets, np.int64),
        "codes": inputs["W"],
        **{name: inputs[name] for name in ("v", "sign", "alpha", "beta")},
        "even": np.stack([evenness(row[:, None])[:, 0] for row in inputs["v"]]),
        "weight_masks": np.array(a["weight_masks"], np.uint8),
        "level_masks": np.array(a["level_masks"], np.uint8),
        "weight_words": np.zeros((G * OB * taps, run_room, 1 if coded else M, LANES), np.uint32),
        "phi": np.zeros((G * OB, 1 if coded else M * N, LANES), np.float32),
        "offset_alpha": np.zeros((G * OB, LANES), np.float32),
        "offset_taps": np.zeros((G * OB, KH * KW, LANES), np.float32),
        "out_scale": np.zeros((G * OB, LANES), np.float32),
        "out_bias": np.zeros((G * OB, LANES), np.float32),
    }
    grid = grid_of(case)
    scales = {"out_scale": grid.scale if grid else inputs["scale"], "out_bias": inputs["bias"]}
    for name, values in scales.items():
        arrays[name].reshape(G, OB * LANES)[:, :OG] = values.reshape(G, OG)
    numbers = dict(
        B=B, C=C, H=H, W=W, XH=XH, XW=XW, XSH=XSH, XSW=XSW, O=O, OH=OH, OW=OW, G=G, CG=CG, OG=OG, CW=CW, OB=OB, KH=KH,
        KW=KW, SH=SH, SW=SW, PT=a["pads"][0], PL=a["pads"][1], Hp=Hp, Wp=Wp, DH=a["dilations"][0], DW=a["dilations"][1],
        by_rows=by_rows, taps=taps, run=run, M=M, N=N, E=E, coded=int(coded), signed_codes=int(cpu.signed_codes),
        v_rows=len(inputs["v"]), sign_rows=len(inputs["sign"]), alpha_rows=len(inputs["alpha"]), R=len(inputs["W"]),
        code_bytes=inputs["W"].shape[1], weight_codes=len(a["weight_masks"]),
        has_alpha_0=int(inputs["alpha"][:, 0].any()), has_beta_0=int(inputs["beta"][0] != 0),
        gather_runs=-(-H * W // GATHER_RUN), gather_parts=1, block_chunks=1, blocks_per_task=OB, row_pixels=row_pixels,
        pixel_chunks=-(-((OH - 1) * row_pixels + OW) // PIXEL_CHUNK),
    )  # fmt: skip
    if coded:
        multiplier = cpu.multipliers[kind]
        numbers |= dict(
            pixels_at_once=multiplier.pixels, blocks_at_once=multiplier.blocks, words_at_once=multiplier.words
        )
    else:
        plan = blocking(M, N, cpu.budget)
        numbers |= dict(pixels_at_once=plan.pixels, parts_M=plan.parts_M, parts_N=plan.parts_N)
    return arrays, numbers


def row_pixels_of(OW: int, SH: int, SW: int, Wp: int) -> int:
    """Pixels that AMX takes a row as, as the shim chooses: through to the next row's, or whole tiles."""
    filled = -(-OW // TILE_ROWS) * TILE_ROWS
    through = Wp * SH // SW
    return through if Wp * SH % SW == 0 and OW <= through < filled else filled


def endpoint_blocks(v, sign, G: int, OG: int) -> tuple[np.ndarray, np.ndarray]:
    """(thresholds (blocks, E + EVEN_ROWS, LANES) float32, flips (blocks, LANES) uint32) of G groups of OG channels:
    endpoints v (1 or channels, E) and sign (1 or channels,), as the shim lays them out.
    """
    OB = -(-OG // LANES)
    thresholds = np.full((G, OB * LANES, v.shape[1]), np.nan, np.float32)
    flips = np.zeros((G, OB * LANES), np.uint32)
    thresholds[:, :OG] = np.broadcast_to(v, (G * OG, v.shape[1])).reshape(G, OG, -1)
    flips[:, :OG] = np.broadcast_to(np.where(sign < 0, 1 << 31, 0), G * OG).reshape(G, OG)
    thresholds = thresholds.reshape(G * OB, LANES, -1).transpose(0, 2, 1)
    lanes = [min(LANES, OG - b * LANES) for _ in range(G) for b in range(OB)]
    even = [evenness(block[:, :count]) for block, count in zip(thresholds, lanes, strict=True)]
    return np.concatenate([thresholds, np.stack(even)], 1), flips.reshape(G * OB, LANES)


def evenness(v: np.ndarray) -> np.ndarray:
    """(EVEN_ROWS, LANES) float32 of the endpoints v (E, lanes): scale, offset, margin (kernels/finish/levels.py)."""
    found = np.zeros((EVEN_ROWS, LANES), np.float32)
    found[1], E, lanes = 0.5, *v.shape
    v, margin = v.astype(np.float64), np.inf
    if E >= EVEN_ENDPOINTS:
        with np.errstate(all="ignore"):
            scale = ((E - 1) / (v[-1] - v[0])).astype(np.float32)
            offset = (1 - v[0] * scale).astype(np.float32)
            margin = np.abs(v.astype(np.float32) * scale + offset - np.arange(1, E + 1)[:, None]).max()
        found[0, :lanes], found[1, :lanes] = scale, offset
    found[2] = margin if margin <= 1 / 512 else -1
    return found


def level_arguments_of(level_case, cpu: Cpu, kind: str = "planes") -> tuple[dict, dict]:
    """arguments_of for a PALevelConv: it reads levels, and its finish is channel-last."""
    case, finish = level_case.case, level_case.finish
    arrays, numbers = arguments_of(case, cpu, kind, levels=True)
    shape = tuple(numbers[name] for name in ("B", "OH", "OW", "O"))
    one_hot = case.attributes["level_masks"] == bits.one_hot_masks(numbers["N"])
    numbers |= dict(channel_last=1, one_hot=int(one_hot), gather_runs=-(-numbers["H"] * numbers["W"] // LEVEL_RUN))
    for name in ("x", "v", "sign", "y"):
        del arrays[name]
    arrays |= {"levels": level_case.L, "clip": finish["clip"]}
    if level_case.residual.shape == shape:
        arrays["residual"] = level_case.residual
    for output, (name, kind) in CHANNEL_LAST.items():
        if output in level_case.wanted:
            arrays[name] = np.zeros(shape, kind)
    for k in (1, 2):
        v, sign = finish[f"v{k}"], finish[f"sign{k}"]
        numbers[f"E_{k}"] = v.shape[1]
        arrays[f"thresholds_{k}"], arrays[f"flips_{k}"] = endpoint_blocks(v, sign, numbers["G"], numbers["OG"])
    return arrays, numbers


def compare_arguments_of(X, v, sign) -> tuple[dict, dict]:
    """(arrays, numbers) of a PALevels: X (B, H, W, C)."""
    B, H, W, C = X.shape
    rows = max(len(v), len(sign))
    thresholds, flips = endpoint_blocks(v, sign, 1, LANES if rows == 1 else C)
    arrays = {"x": X, "levels_1": np.zeros(X.shape, np.uint8), "thresholds_1": thresholds, "flips_1": flips}
    return arrays, dict(B=B, H=H, W=W, C=C, OB=-(-C // LANES), E_1=v.shape[1], v_rows=rows)


def depthwise_arguments_of(case) -> tuple[dict, dict]:
    """(arrays, numbers) of a PADepthwiseConv, without the address of depthwise_sums; X with a vector of slack where it
    has fewer channels than one.
    """
    (B, H, W, C), (_, _, KH, KW) = case.X.shape, case.constants["W"].shape
    shape, OB = case.sums.shape, -(-C // LANES)
    order = np.minimum(np.arange(OB) * LANES, max(C - LANES, 0))[:, None] + np.arange(LANES)  # channels of the lanes
    exists, order = order < C, np.minimum(order, C - 1)
    weights, bias = case.constants["W"].reshape(C, KH * KW), np.broadcast_to(case.constants["bias"], C)
    arrays = {
        "x": np.pad(case.X.reshape(-1), (0, LANES)) if C < LANES else case.X,
        "tap_weights": np.ascontiguousarray((weights[order] * exists[..., None]).transpose(0, 2, 1)),
        "out_bias": bias[order] * exists,
        "clip": case.constants["clip"],
    }
    if case.R.shape == shape:
        arrays["residual"] = case.R
    for output in case.wanted:
        name, kind = CHANNEL_LAST[output]
        arrays[name] = np.zeros(shape, kind)
    (SH, SW), (DH, DW) = (case.geometry[name] for name in ("strides", "dilations"))
    numbers = dict(B=B, H=H, W=W, C=C, O=C, OG=C, G=1, OB=OB, OH=shape[1], OW=shape[2], KH=KH, KW=KW)
    numbers |= dict(SH=SH, SW=SW, DH=DH, DW=DW, PT=case.geometry["pads"][0], PL=case.geometry["pads"][1])
    for k in (1, 2):
        v, sign = case.constants[f"v{k}"], case.constants[f"sign{k}"]
        numbers[f"E_{k}"] = v.shape[1]
        arrays[f"thresholds_{k}"], arrays[f"flips_{k}"] = endpoint_blocks(v, sign, 1, C)
    return arrays, numbers


def pool_arguments_of(L, kernel, strides, pads) -> tuple[dict, dict]:
    """(arrays, numbers) of a PALevelMaxPool: L (B, H, W, C)."""
    B, H, W, C = L.shape
    OH, OW = ((L.shape[k + 1] + pads[k] + pads[k + 2] - kernel[k]) // strides[k] + 1 for k in range(2))
    numbers = dict(B=B, H=H, W=W, C=C, OH=OH, OW=OW, PT=pads[0], PL=pads[1])
    numbers |= dict(KH=kernel[0], KW=kernel[1], SH=strides[0], SW=strides[1])
    return {"levels": L, "levels_1": np.zeros((B, OH, OW, C), np.uint8)}, numbers
