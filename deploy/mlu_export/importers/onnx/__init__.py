"""ONNX files: read, folded, and recorded operator by operator."""
