"""The files a model ships as: container, manifest, side-car, and the recipe it is rebuilt from (FORMAT.md)."""
