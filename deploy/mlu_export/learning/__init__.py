"""Learning what rounds to the weights' integers, so that a network's outputs move least."""
