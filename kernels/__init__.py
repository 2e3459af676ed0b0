"""Bitwise convolution kernels, written in Numba and kept clean of Python.

The way of the data, one file a step (arrays are word-aligned memory; M, N planes; LANES output channels a vector):

    weights.py     packed codes (R, bytes)      -> weight words (G*OB, KH*KW*CW, M, LANES) uint32, scales     once
    gather.py      X (B, C, H, W) float32       -> activation words (B, G, Hp, Wp, CW, N) uint32              each call
    fold.py        a window row's words without gaps, where channels are few                            each call
    accumulate.py  words of one pixel tile      -> counts (P, M, N, LANES) int32: AND + popcount              each tile
    finish.py      counts                       -> outputs (P, LANES) float32: scales, bias, offsets          each tile
    conv.py        the task that ties accumulate and finish together and stores Y or the counts

`arguments.py` says how the C shim in native/ and the kernels share their arguments; `registry.py` lists every kernel.

A kernel is a C function `void(void *arguments, size_t task)`. It never raises, never allocates, and calls nothing
but libm and mem*; trouble goes into the arguments' error slot.
"""
