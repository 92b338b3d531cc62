"""From a float graph and ranges to the lowered network, which is what a model file holds."""
