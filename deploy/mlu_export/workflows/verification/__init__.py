"""Proof that a model file computes what its checkpoint, or its weights and recipe, say."""
