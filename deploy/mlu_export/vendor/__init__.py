"""The vendor's quantizer: its module swapping, its ranges and its checkpoint, with the vendor's names and quirks.

``quantize`` swaps layers of a ``torch.nn.Module``, ``checkpoint`` reads and writes the files, ``arithmetic`` computes
what a quantized layer computes in the simulator, ``compiled`` lays integer weights out as the vendor's compiler does.
``checkpoint``, ``parameters``, ``scheme`` and ``compiled`` do without torch; the others need it from the start.
"""
