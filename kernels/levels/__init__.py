"""Activation levels as bytes, channel-last: what goes from convolution to convolution."""
