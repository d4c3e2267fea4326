"""Read mapping by embed, search and align."""
