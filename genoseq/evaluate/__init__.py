"""Judging read mappers: simulated reads, verdicts, agreement on real reads, costs, tables and figures."""
