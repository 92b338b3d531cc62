"""A user's torch module, recorded as it runs."""
