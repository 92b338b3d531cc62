"""Darknet's weights, as a stream or as a torch file, and the networks of its family known by name."""
