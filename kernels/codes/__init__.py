"""Convolution by integer dot products of level codes."""
