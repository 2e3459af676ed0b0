"""torch -> ONNX: a PA model with one call of a model-local function for each of its quantizers."""
