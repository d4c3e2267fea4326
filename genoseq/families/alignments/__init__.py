"""Alignments of a family: read, written, made, filtered, weighted."""
