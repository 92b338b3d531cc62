"""The vendor's quantizer: its module swapping, its ranges and its checkpoint, with the vendor's names and quirks.

``quantize`` swaps layers of a ``torch.nn.Module``, ``checkpoint`` reads and writes the files, ``arithmetic`` computes what
a quantized layer computes in the simulator, ``compiled`` finds integer weights inside the vendor's offline models.
"""
