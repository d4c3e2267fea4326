"""Modules that mix positions or channels; one family of layers per file."""
