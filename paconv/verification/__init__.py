"""Comparing an optimized model with its reference: layer by layer, the graph around the layers, and end to end."""
