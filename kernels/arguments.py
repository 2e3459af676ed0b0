"""The argument block that the C shim fills and the kernels read: one array of int64, one field a slot.

Pointers are stored as integers. The shim's header is generated from this list, so the two can't drift apart.
"""

from __future__ import annotations

from collections import namedtuple

__all__ = [
    "CODING_HEAD",
    "FIELDS",
    "FOLD_RUN",
    "GATHER_RUN",
    "LANES",
    "LEVEL_RUN",
    "LIMIT_RING",
    "LOW",
    "LOW_ZERO",
    "MAX_CODE_BITS",
    "MAX_CODE_WINDOW",
    "MAX_FOLDED",
    "MAX_HALO",
    "MAX_LEVELS",
    "MIN_CODE_WINDOW",
    "MIN_SPAN",
    "PIXEL_CHUNK",
    "SPANS",
    "F",
    "field_enum",
]

LANES = 16
"""Output channels in one vector: 16 words of 32 bits."""

PIXEL_CHUNK = 64
"""Most output pixels one task of conv.py covers."""

GATHER_RUN = 64
"""Pixels that one task of gather.py packs."""

LEVEL_RUN = 64
"""Positions that one task of compare.py, gather_levels.py or gather_level_codes.py covers."""

MAX_FOLDED = 16
"""Most words that a folded window row takes."""

FOLD_RUN = 64
"""Positions that fold.py takes at once."""

MAX_HALO = 64
"""Most positions of a folded window row after its first."""

LIMIT_RING = 16
"""Activation words that limit.py goes around in: a power of two, and a multiple of LANES."""

CODING_HEAD = 6
"""Values in `coding` before those of the rows of alpha."""

LOW = 127
"""Largest low digit, and largest high digit of 8 bits of a weight."""

LOW_ZERO = 128
"""What is added to an activation's low digit, so that it is an unsigned byte."""

MAX_CODE_BITS = 30
"""Most bits of a product of codes of 16 bits: 15 bits and 15 bits."""

MIN_SPAN = 1
"""Fewest words of a window that are summed as integers before they are added up as floats, for codes of 16 bits: sums
of 2 * MIN_SPAN such products always fit int32.
"""

MIN_CODE_WINDOW = 64
"""Fewest products in a window for codes that aren't the levels exactly: fewer don't average their errors as
kernels/coding.py's estimate expects.
"""

SPANS = 12
"""Spans that are tried: MIN_SPAN * 2**k words, k < SPANS."""

MAX_LEVELS = 256
"""Most levels of weights or activations."""

MAX_CODE_WINDOW = (2**31 - 1) // (2 * 255 * 127)
"""Most products in a window whose two mixed dot products of bytes certainly fit int32."""

FIELDS = {
    # tensors of one call
    "x": "X (B, C, H, W) float32",
    "y": "Y (B, O, OH, OW) float32, or counts (B, M, N, O, OH, OW) int32",
    "words": "activation words (B, G, Hp, Wp, CW, N, or D for codes) uint32",
    "sums": "(B, G, Hp, Wp, D) int32: sums of the codes' digits",
    "levels": "L (B, H, W, C) uint8, where levels are read",
    "residual": "R (B, OH, OW, O) float32, 0 for none",
    "levels_1": "L1 (B, OH, OW, O) uint8, 0 for none", "levels_2": "L2, as levels_1",
    "tap_offsets": "(taps,) int64: bytes from a window's first word to each run of words",
    # constant inputs
    "codes": "W (R, code_bytes) uint8",
    "v": "(v_rows, E) float32",
    "sign": "(sign_rows,) int8",
    "alpha": "(alpha_rows, M+1) float32",
    "beta": "(N+1,) float32",
    "scale": "(O,) float32",
    "bias": "(O,) float32",
    "weight_masks": "(weight_codes,) uint8",
    "level_masks": "(E+1,) uint8",
    # the channel-last finish, in blocks of LANES channels of a group
    "clip": "(2,) float32: least and largest Y",
    "thresholds_1": "(blocks, E_1, LANES) float32: endpoints of levels_1", "thresholds_2": "of levels_2",
    "flips_1": "(blocks, LANES) uint32: the sign bit where sign is -1", "flips_2": "for levels_2",
    # made once by coding.py, weights.py and code_weights.py
    "coding": "(CODING_HEAD + alpha_rows,) float64: q, r, error, zero, least and largest code, then p of each row",
    "level_codes": "(E+1,) uint32: the code of 16 bits, or digit 0 in bits 0..7 and digit 1 in bits 16..23",
    "correction": "(G*OB, D, LANES) float32: factors of the sums of digits",
    "start": "(G*OB, D, LANES) int32: what dot products start from, so that those of a window of activation 0 are 0",
    "span_sums": "(G*OB, SPANS) int64: largest sums of spans",
    "weight_words": "(G*OB, taps*run, M, or D for codes, LANES) uint32",
    "phi": "(G*OB, M*N, or D for codes, LANES) float32: factors of the counts or dot products",
    "base": "(G*OB, LANES) float32: bias",
    "offset_alpha": "(G*OB, LANES) float32: scale_o * alpha_0",
    "offset_taps": "(G*OB, KH*KW, LANES) float32: scale_o * beta_0 * sum over the tap's weights",
    # sizes
    "B": "batch", "C": "input channels", "H": "rows", "W": "columns",
    "O": "output channels", "OH": "output rows", "OW": "output columns",
    "XH": "rows of X", "XW": "columns of X: H and W, unless fewer are packed",
    "XSH": "rows of X from one packed row to the next", "XSW": "columns of X, likewise",
    "G": "groups", "CG": "channels of a group", "OG": "output channels of a group",
    "CW": "words of a position: of a group's channels, or of a window row where folded",
    "OB": "lane blocks of a group's output channels",
    "KH": "kernel rows", "KW": "kernel columns", "SH": "vertical stride", "SW": "horizontal stride",
    "PT": "top padding", "PL": "left padding", "Hp": "padded rows", "Wp": "padded columns",
    "DH": "vertical dilation", "DW": "horizontal dilation",
    "folded": "whether words are folded (kernels/fold.py)",
    "taps": "runs of words in a window", "run": "words (of N planes) in a run",
    "M": "weight planes", "N": "activation planes", "E": "endpoints",
    "D": "digits of a level code, 0 for planes", "digit_bits": "8 or 16",
    "v_rows": "1 or C", "sign_rows": "1 or C", "alpha_rows": "1 or O",
    "E_1": "endpoints of levels_1", "E_2": "endpoints of levels_2",
    "channel_last": "whether Y is (B, OH, OW, O)", "one_hot": "whether level l sets plane l alone, and level 0 none",
    "R": "bits of a weight code", "code_bytes": "bytes of a row of codes", "weight_codes": "number of weight masks",
    "has_alpha_0": "some alpha_0 is not 0", "has_beta_0": "beta_0 is not 0",
    # division of the work
    "accumulate": "address of the accumulate function", "tile": "pixels of its tile",
    "tile_blocks": "lane blocks of its tile (codes)", "span": "words of a window summed as integers (codes)",
    "gather_runs": "tasks of the gathers along the pixels of an image's group",
    "gather_parts": "tasks of the gathers along its channels' words",
    "pixel_chunks": "tasks along the output pixels", "block_chunks": "tasks along the lane blocks",
    "blocks_per_task": "lane blocks of one task",
    "error": "0, or the first error a kernel met: 1 + the index of a weight whose code has no mask",
}  # fmt: skip
"""Field name -> meaning."""

F = namedtuple("F", FIELDS)(*range(len(FIELDS)))
"""Field name -> slot; Numba sees it as constants."""


def field_enum() -> str:
    """The C enum of the slots."""
    lines = [f"  F_{name} = {slot}, /* {FIELDS[name]} */" for name, slot in F._asdict().items()]
    return "enum {\n" + "\n".join(lines) + f"\n  F_COUNT = {len(FIELDS)}\n}};\n"
