"""Passes that take what stands around a PABitConv into its endpoints, levels, scale and bias."""
