"""What a network is, layer by layer, and how an ONNX file in any of its forms is read as one."""
