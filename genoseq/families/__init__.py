"""Protein families: alignments, models of them, variant scores, new members and the judgement of both."""
