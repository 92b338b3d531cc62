"""What a model says of itself: its container, its manifest, what its outputs hold."""
