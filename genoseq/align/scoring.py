"""The numbers and codes that every part of the aligner shares.

An alignment scores ``MATCH`` for a matching base, ``-MISMATCH`` for a differing one, ``-AMBIGUOUS`` where either is not A, C, G
or T, and ``-(GAP_OPEN + n * GAP_EXTEND)`` for a gap of ``n`` bases. It is local in the read (ends may be soft-clipped);
``END_BONUS`` is won at each end of the read that is not clipped, and takes part in the choice but not in the score reported.
"""

MATCH = 2
MISMATCH = 2
AMBIGUOUS = 1
GAP_OPEN = 8
GAP_EXTEND = 2
END_BONUS = 10

OUTSIDE = 8
"""Window code beyond a contig's end: never aligned."""
READ_N = 5
"""Code of an N in a read, so that it never equals the reference's 4."""
PAD = 64
"""Bytes around reads and windows that vector loads may touch."""
NEVER = -16000
"""Stands for minus infinity in 16-bit lanes."""

OP_MATCH = 0
OP_INSERT = 1
OP_DELETE = 2
OP_CLIP = 4
"""CIGAR operations as BAM numbers them (SAM specification, 4.2)."""

STRICT_MATCH = 1
STRICT_MISMATCH = 4
STRICT_GAP_OPEN = 6
STRICT_GAP_EXTEND = 1
STRICT_END_BONUS = 5
"""The stricter score (BWA-MEM's) by which a poor end of an otherwise good read is clipped."""
STRICT_SHARE = (0.4, 0.6)
STRICT_RATE = (0.045, 0.10)
STRICT_MOST = (300, 40)
STRICT_LOST_RATE = 0.23
STRICT_CONTRAST = 2.5
"""Poor ends are clipped if what remains is at least such a share of the read and has at most such an edit rate, and no more
than so many bases are lost, by either set of figures, and the edit rate of
what is clipped is at least STRICT_LOST_RATE and STRICT_CONTRAST times that of the rest. A read that differs from the
reference throughout keeps its ends."""
