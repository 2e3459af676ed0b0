"""Serving: the custom-op library and onnxruntime sessions that use it. Needs no torch."""
