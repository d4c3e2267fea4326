"""New members of a family."""
