"""An object-detection agent for boxes with a Cambricon MLU220, and the simulator of its runtime."""
