"""Down to the lowered network, which is what a model file holds: from a graph with ranges, and from recorded values."""
