"""What computes a network: a graph in torch, float or rounded; a lowered one exactly, plainly, on the simulator."""
