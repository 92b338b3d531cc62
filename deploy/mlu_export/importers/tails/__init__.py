"""Decoding tails of exports: what a network does behind its head convolutions, recognised by what it computes."""
