"""Activation ranges from pictures: observed, refined, their noise told, layers kept in more bits."""
