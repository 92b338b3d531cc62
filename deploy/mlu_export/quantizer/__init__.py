"""The vendor's quantizer: its module swapping, its ranges and its checkpoint, with the vendor's names and quirks.

``dynamic`` swaps layers of a ``torch.nn.Module``, ``calibration`` makes checkpoints, ``arithmetic`` computes what a
quantized layer computes in the simulator, ``backend`` and ``driver`` have the vendor's SDK make the device's file.
``scheme``, ``layout`` and ``backend`` do without torch; the others need it from the start. The files themselves are
read and written by ``formats.checkpoint``, its numbers are ``values.quantizer_parameters``.
"""
