"""Whole nets: a configuration, a backbone and heads; one family per file."""
