"""Sequences as they come from files: the alphabet, records, the FASTA/FASTQ readers, and the reference genome."""
