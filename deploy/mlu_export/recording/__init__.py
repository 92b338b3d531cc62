"""Computations recorded from torch or read from ONNX: values and the recorders that make them, their lowering to a
network (``lowering``: porting scripts) and from there to a float graph (``to_graph``: importers).

Nothing below knows recorded values: what is calibrated, quantized and verified is a graph.
"""
