"""Real depthwise convolutions, channel-last, between quantized ones."""
