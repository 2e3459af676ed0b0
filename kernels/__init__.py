"""Bitwise and integer convolution kernels, written in Numba and LLVM instructions and kept clean of Python.

README.md draws the way of each family with every file on it; `registry.py` lists every kernel, and `arguments.py` says
how the C shim in native/ and the kernels share their arguments.
"""
