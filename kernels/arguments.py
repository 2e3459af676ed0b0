"""The argument block that the C shim fills and the kernels read: one array of int64, one field a slot.

Pointers are stored as integers. The shim's header is generated from this list, so the two can't drift apart.
"""

from __future__ import annotations

from types import ModuleType

__all__ = [
    "CODING", "DEPTHWISE_BLOCKS", "DEPTHWISE_RUN", "FIELDS", "ROW_RUN", "GATHER_RUN", "LANES", "LEVEL_RUN", "PEAK_RING",
    "EVEN_ENDPOINTS", "EVEN_ROWS", "MAX_EXACT_FLOAT", "MAX_ROW_WORDS", "MAX_HALO", "MAX_LEVELS", "MIN_SPAN",
    "CODING_SLOTS", "PIXEL_CHUNK", "SPANS", "F", "slot_enum",
]  # fmt: skip


def _slots(name: str, meanings: dict[str, str]) -> ModuleType:
    """Name -> index, and `count`. A module, because Numba takes each of its attributes for a constant by itself."""
    module = ModuleType(name)
    module.__dict__.update({slot: index for index, slot in enumerate(meanings)}, count=len(meanings))
    return module


LANES = 16
"""Output channels in one vector: 16 words of 32 bits."""

PIXEL_CHUNK = 64
"""Most output pixels one task of planes/conv.py or codes/conv.py covers."""

GATHER_RUN = 64
"""Pixels that one task of planes/gather.py or codes/gather.py packs."""

LEVEL_RUN = 64
"""Positions that one task of levels/of_values.py or a gather_from_levels.py covers."""

DEPTHWISE_RUN, DEPTHWISE_BLOCKS = 64, 4
"""Pixels of a row, and lane blocks, that depthwise/conv.py takes at once."""

MAX_ROW_WORDS = 16
"""Most words that a window row takes without gaps."""

ROW_RUN = 64
"""Positions that planes/window_rows.py takes at once."""

MAX_HALO = 64
"""Most positions of such a window row after its first."""

PEAK_RING = 16
"""Activation words that probes/popcount_peak.py goes around in: a power of two, and a multiple of LANES."""

MAX_EXACT_FLOAT = 1 << 24
"""Integers up to here are float32 numbers, and so are their sums in any order that stays below."""

MIN_SPAN = 1
"""Fewest words of a window that are summed in 16 bits before they are added up in 32."""

SPANS = 12
"""Spans that are tried: MIN_SPAN * 2**k words, k < SPANS."""

MAX_LEVELS = 256
"""Most levels of weights or activations."""

EVEN_ENDPOINTS = 7
"""Endpoints from which on it is worth while to look whether they are evenly apart (kernels/finish/levels.py)."""

EVEN_ROWS = 3
"""Numbers of a channel that say so; of a block, rows of LANES float32 behind its endpoints."""

CODING_SLOTS = {
    "unit": "of the activations' levels",
    "zero": "what stands for activation 0 in a byte: 0, or what brings negative or large levels into a byte",
    "least": "least byte of a level, as a number", "largest": "largest byte of a level",
    "most_weight": "largest |k| of a weight", "most_level": "largest |l| of an activation",
    "most_terms": "largest sum of |k_i l_j| over the planes of a weight and an activation, their offsets included",
    "on_grid": "1 where all levels are integers times units that fit bytes, else 0",
    "rising": "1 where each level's byte is one more than that of the level before, modulo 256; else 0",
    "rows": "the unit of each row of alpha, from here on",
}  # fmt: skip
"""Slot of `coding` -> meaning (kernels/codes/choose_codes.py)."""

CODING = _slots("CODING", CODING_SLOTS)
"""Slot name -> index."""

FIELDS = {
    # tensors of one call
    "x": "X (B, C, H, W) float32",
    "y": "Y (B, O, OH, OW) float32, or counts (B, M, N, O, OH, OW) int32",
    "words": "activation words (B, G, Hp, Wp, CW, N) uint32, or (B, G, Hp, Wp, CW) of four level codes",
    "levels": "L (B, H, W, C) uint8, where levels are read",
    "residual": "R (B, OH, OW, O) float32, 0 for none",
    "levels_1": "L1 (B, OH, OW, O) uint8, 0 for none", "levels_2": "L2, as levels_1",
    "tap_offsets": "(taps,) int64: bytes from a window's first word to each run of words",
    # constant inputs
    "codes": "W (R, code_bytes) uint8",
    "v": "(v_rows, E) float32",
    "even": "(v_rows, EVEN_ROWS) float32: whether the endpoints are evenly apart",
    "sign": "(sign_rows,) int8",
    "alpha": "(alpha_rows, M+1) float32",
    "beta": "(N+1,) float32",
    "weight_masks": "(weight_codes,) uint8",
    "level_masks": "(E+1,) uint8",
    # the channel-last finish, in blocks of LANES channels of a group
    "clip": "(2,) float32: least and largest Y",
    "thresholds_1": "(blocks, E_1 + EVEN_ROWS, LANES) float32: endpoints of levels_1, and whether they are even",
    "thresholds_2": "of levels_2",
    "flips_1": "(blocks, LANES) uint32: the sign bit where sign is -1", "flips_2": "for levels_2",
    # made once by codes/choose_codes.py and the two weights.py
    "coding": "(slots of CODING) float64",
    "alpha_k": "(alpha_rows, M+1) float32: alpha over the row's unit; alpha itself off the grid",
    "beta_l": "(N+1,) float32: beta over its unit, or beta itself",
    "level_codes": "(E+1,) uint8: the byte of each level",
    "start": "(G*OB, LANES) int32: what dot products start from, so that those of a window of activation 0 are 0",
    "span_sums": "(G*OB, SPANS) int64: largest sums of pairs of products over spans",
    "weight_words": "(G*OB, taps*run, M, LANES) uint32, or (G*OB, taps, run to whole words_at_once, LANES)",
    "phi": "(G*OB, M*N, LANES) float32: factors of the counts",
    "offset_alpha": "(G*OB, LANES) float32: alpha_0",
    "offset_taps": "(G*OB, KH*KW, LANES) float32: beta_0 * sum over the tap's weights",
    "out_scale": "(G*OB, LANES) float32: scale times the units", "out_bias": "(G*OB, LANES) float32: bias",
    "tap_weights": "(OB, KH*KW, LANES) float32, depthwise; the last block's, and its bias, as depthwise/conv.py reads",
    # sizes
    "B": "batch", "C": "input channels", "H": "rows", "W": "columns",
    "O": "output channels", "OH": "output rows", "OW": "output columns",
    "XH": "rows of X", "XW": "columns of X: H and W, unless fewer are packed",
    "XSH": "rows of X from one packed row to the next", "XSW": "columns of X, likewise",
    "G": "groups", "CG": "channels of a group", "OG": "output channels of a group",
    "CW": "words of a position: of a group's channels, or of a window row where by_rows",
    "OB": "lane blocks of a group's output channels",
    "KH": "kernel rows", "KW": "kernel columns", "SH": "vertical stride", "SW": "horizontal stride",
    "PT": "top padding", "PL": "left padding", "Hp": "padded rows", "Wp": "padded columns",
    "DH": "vertical dilation", "DW": "horizontal dilation",
    "by_rows": "whether words are those of window rows (kernels/planes/window_rows.py)",
    "taps": "runs of words in a window", "run": "words (of N planes) in a run",
    "M": "weight planes", "N": "activation planes", "E": "endpoints",
    "coded": "1 for level codes, 0 for planes",
    "signed_codes": "whether the CPU's dot products take signed activations",
    "v_rows": "1 or C", "sign_rows": "1 or C", "alpha_rows": "1 or O",
    "E_1": "endpoints of levels_1", "E_2": "endpoints of levels_2",
    "wants_counts": "whether Y is counts, of PABitConvCounts",
    "channel_last": "whether Y is (B, OH, OW, O)", "one_hot": "whether level l sets plane l alone, and level 0 none",
    "R": "bits of a weight code", "code_bytes": "bytes of a row of codes", "weight_codes": "number of weight masks",
    "has_alpha_0": "some alpha_0 is not 0", "has_beta_0": "beta_0 is not 0",
    # division of the work
    "accumulate": "address of the accumulate function of codes, or of the table of those of planes (9, 9) by m and n; "
    "or depthwise_sums",
    "pixels_at_once": "most pixels that it takes", "blocks_at_once": "most lane blocks that it takes (codes)",
    "words_at_once": "words of a run that it multiplies at a time (codes); above 1, its pixels lie at one distance",
    "row_pixels": "pixels that a row is taken as: OW, or more where that brings pixels to one distance",
    "parts_M": "parts that weight planes are taken in", "parts_N": "parts that activation planes are taken in",
    "span": "words of a window summed in 16 bits (codes)",
    "gather_runs": "tasks of the gathers along the pixels of an image's group",
    "gather_parts": "tasks of the gathers along its channels' words",
    "pixel_chunks": "tasks along the output pixels", "block_chunks": "tasks along the lane blocks",
    "blocks_per_task": "lane blocks of one task",
    "error": "0, or the first error a kernel met: 1 + the index of a weight whose code has no mask",
}  # fmt: skip
"""Field name -> meaning."""

F = _slots("F", FIELDS)
"""Field name -> slot."""


def slot_enum(prefix: str, meanings: dict[str, str]) -> str:
    """A C enum of slots, with their meanings."""
    lines = [f"  {prefix}_{name} = {slot}, /* {meaning} */" for slot, (name, meaning) in enumerate(meanings.items())]
    return "enum {\n" + "\n".join(lines) + f"\n  {prefix}_COUNT = {len(lines)}\n}};\n"
