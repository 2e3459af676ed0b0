"""Building the custom-op library ahead of time: kernels to native objects, shim and objects to one shared library."""
