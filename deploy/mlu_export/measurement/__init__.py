"""How good and how fast a model is: evaluation, on a box too, and benchmarks."""
