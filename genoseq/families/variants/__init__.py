"""Variants of a protein: their notation, and the files they come in."""
