"""Figures of results that people look at."""
