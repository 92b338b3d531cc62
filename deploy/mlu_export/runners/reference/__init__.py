"""native/ARITHMETIC.md in plain numpy, for reading and for holding the simulator and ``exact`` to it."""
