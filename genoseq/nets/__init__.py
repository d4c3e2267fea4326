"""Nets for sequences, in plain PyTorch: long convolutions, state spaces and attention.

``ops`` holds functions on tensors, ``layers`` the modules that mix positions and channels, ``models`` whole nets with their
configurations.
"""
