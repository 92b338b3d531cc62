"""The simulator's arithmetic in torch, to the bit (native/ARITHMETIC.md): functions, sums, and whole lowered networks.

Beside the numpy reference, and without any code of it but that of the detection output, it is the second opinion on
what the simulator must give.
"""
