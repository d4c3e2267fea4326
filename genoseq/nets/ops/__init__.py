"""Functions on tensors: scans, convolutions, rotations; each fast form stands beside its plain reference."""
