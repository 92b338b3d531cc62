"""mlu-export: real weights in, a quantized ``.cambricon`` model out, and the accuracy of the very file that ships."""

__version__ = "0.1.0"
