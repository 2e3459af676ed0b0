"""An ONNX file: read and checked, or made plain; its graph looked up, its shapes inferred, its notes kept."""
