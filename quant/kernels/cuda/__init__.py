"""Kernels of our own for CUDA, on the tiles of `quant.pack` as they are stored: a load copies them and no more."""
