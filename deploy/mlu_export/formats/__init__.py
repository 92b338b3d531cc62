"""The files read and written: container, manifest, recipe, side-car, checkpoints, labels, pictures."""
