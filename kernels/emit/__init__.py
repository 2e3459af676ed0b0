"""LLVM instructions and raw memory, and the way from there to machine code: nothing of convolution."""
