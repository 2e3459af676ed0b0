"""An ONNX file: read and checked, made plain, its graph looked up, its shapes inferred, its notes kept in the metadata."""
