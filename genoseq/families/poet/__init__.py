"""PoET at work on a protein family: prompts of its sequences, scores of variants, new members, and nets trained from scratch."""
