"""Post-training quantization of a float ONNX file: from a few hundred samples, without labels and without torch."""
