"""Checkpoints of every family through one door: reading weights, recognising whose they are, making the net, writing them back.

``reader`` opens weights, ``source`` finds the files of a name or path, ``adapter`` says what a family's file must tell,
one file per family tells it, ``fill`` makes the net, ``loading`` and ``saving`` are the two functions a user calls.
"""
