"""Convolution by AND and popcount of bit planes."""
