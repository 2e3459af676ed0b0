"""Deploying pa.onnx: folders that a model server takes as they are. Needs no torch."""
