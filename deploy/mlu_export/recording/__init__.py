"""Computations recorded from torch or read from ONNX: values, and recorders that make them."""
