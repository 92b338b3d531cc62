"""Computations as they were recorded from torch or read from ONNX, and their lowering to a network. No torch here."""
