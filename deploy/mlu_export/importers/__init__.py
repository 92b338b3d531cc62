"""Weight files in, float networks out: one module per kind of file."""
