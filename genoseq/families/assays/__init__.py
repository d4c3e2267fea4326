"""Measured variants: files, metrics, and the benchmark over them."""
